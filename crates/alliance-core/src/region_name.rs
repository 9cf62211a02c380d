//! What partners' regions are called here. Names of regions never collide: a client that is told one
//! finds one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::partner::Partner;
use crate::word::words;

/// How they are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionNaming {
    /// After the partner's alias: `east` where the partner calls its region so too, else
    /// `east:RegionOne`.
    #[default]
    Partner,
    /// Always alias and region: `east:east`, `east:RegionOne`.
    PartnerRegion,
}

words!(RegionNaming {
    RegionNaming::Partner = "partner",
    RegionNaming::PartnerRegion = "partner:region",
});

/// Names partners' regions.
#[derive(Debug, Clone, Default)]
pub struct RegionNames {
    /// How.
    pub naming: RegionNaming,
    /// The regions that this cloud has itself.
    pub own: BTreeSet<String>,
}

impl RegionNames {
    /// What a partner's region is called here. An alias is unique and has no colon, so two regions
    /// of partners never share a name; a name that a region of our own has is made longer.
    pub fn name(&self, partner: &Partner, region: &str) -> String {
        let alias = &partner.name;
        let mut name = if self.wanted(partner, region) == *alias && !self.own.contains(alias) {
            alias.clone()
        } else {
            format!("{alias}:{region}")
        };
        while self.own.contains(&name) {
            name = format!("{name}:{}", partner.cloud_id.tag());
        }
        name
    }

    /// The name that it would have if no region of our own had it, when one does.
    pub fn taken(&self, partner: &Partner, region: &str) -> Option<String> {
        let wanted = self.wanted(partner, region);
        self.own.contains(&wanted).then_some(wanted)
    }

    fn wanted(&self, partner: &Partner, region: &str) -> String {
        let alias = &partner.name;
        match self.naming {
            RegionNaming::Partner if alias == region => alias.clone(),
            _ => format!("{alias}:{region}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::CloudId;
    use crate::partner::{Kind, Role, Status};

    fn partner(name: &str) -> Partner {
        Partner {
            cloud_id: CloudId::from_spki(name.as_bytes()),
            name: name.into(),
            kind: Kind::Alliance,
            role: Role::Host,
            status: Status::Active,
            peer_url: "https://east.example:5443".into(),
            trust_since: None,
            trust_till: None,
            max_users: None,
            max_projects: None,
            created_at: 0,
        }
    }

    #[test]
    fn a_region_is_called_after_the_partner() {
        let names = RegionNames::default();
        assert_eq!(names.name(&partner("east"), "east"), "east");
        assert_eq!(names.name(&partner("east"), "RegionOne"), "east:RegionOne");
        let both = RegionNames {
            naming: RegionNaming::PartnerRegion,
            ..names
        };
        assert_eq!(both.name(&partner("east"), "east"), "east:east");
    }

    #[test]
    fn regions_of_partners_never_share_a_name() {
        let names = RegionNames::default();
        let mut seen = BTreeSet::new();
        for alias in ["east", "west"] {
            for region in ["east", "west", "east:east", "west:east", ""] {
                assert!(seen.insert(names.name(&partner(alias), region)));
            }
        }
    }

    #[test]
    fn a_partners_region_never_has_the_name_of_one_of_ours() {
        let east = partner("east");
        let with = |own: &[&str]| RegionNames {
            naming: RegionNaming::Partner,
            own: own.iter().map(|&name| name.to_owned()).collect(),
        };
        assert_eq!(with(&["east"]).name(&east, "east"), "east:east");
        let tag = east.cloud_id.tag();
        let both = with(&["east", "east:east"]);
        assert_eq!(both.name(&east, "east"), format!("east:east:{tag}"));
        assert_eq!(both.taken(&east, "east"), Some("east".to_owned()));
        assert_eq!(both.taken(&east, "RegionOne"), None);
    }
}

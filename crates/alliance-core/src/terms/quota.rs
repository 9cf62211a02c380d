//! How much of each resource a project may use at once.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The largest limit: what the services' own quotas can hold.
const MAX: i64 = i32::MAX as i64;

/// Something that is counted in each project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Virtual processors.
    Cores,
    /// Memory of servers, in MiB.
    RamMb,
    /// Servers.
    Servers,
    /// Volumes.
    Volumes,
    /// Size of volumes and snapshots, in GiB.
    Gigabytes,
    /// Floating IP addresses.
    FloatingIps,
    /// Networks.
    Networks,
    /// Images.
    Images,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cores,
        Self::RamMb,
        Self::Servers,
        Self::Volumes,
        Self::Gigabytes,
        Self::FloatingIps,
        Self::Networks,
        Self::Images,
    ];

    /// Its name in commands, statements and tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cores => "cores",
            Self::RamMb => "ram_mb",
            Self::Servers => "servers",
            Self::Volumes => "volumes",
            Self::Gigabytes => "gigabytes",
            Self::FloatingIps => "floating_ips",
            Self::Networks => "networks",
            Self::Images => "images",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Resource {
    type Err = BadQuota;

    fn from_str(text: &str) -> Result<Self, BadQuota> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| BadQuota::Unknown(text.chars().take(40).collect()))
    }
}

/// Why a limit is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadQuota {
    /// No such resource.
    #[error(
        "quota.{0}: expected one of cores, ram_mb, servers, volumes, gigabytes, floating_ips, networks, images"
    )]
    Unknown(String),
    /// Negative, too large, or no whole number.
    #[error("quota.{resource}: expected a whole number from 0 to {MAX}, found {found}")]
    Limit {
        /// Of what.
        resource: Resource,
        /// What was there.
        found: String,
    },
}

/// Limits for each project. What is not named is not limited by the agreement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
pub struct Quota(BTreeMap<Resource, u32>);

impl Quota {
    /// Sets the limit of a resource, or takes it away.
    ///
    /// # Errors
    /// [`BadQuota::Limit`].
    pub fn set(&mut self, resource: Resource, limit: Option<i64>) -> Result<(), BadQuota> {
        let Some(found) = limit else {
            self.0.remove(&resource);
            return Ok(());
        };
        let limit = Some(found).filter(|found| (0..=MAX).contains(found));
        let limit = limit.and_then(|limit| u32::try_from(limit).ok());
        let limit = limit.ok_or_else(|| BadQuota::Limit {
            resource,
            found: found.to_string(),
        })?;
        self.0.insert(resource, limit);
        Ok(())
    }

    /// The limit of a resource; `None`: none.
    pub fn limit(&self, resource: Resource) -> Option<u32> {
        self.0.get(&resource).copied()
    }

    /// All limits.
    pub fn limits(&self) -> impl Iterator<Item = (Resource, u32)> {
        self.0.iter().map(|(resource, limit)| (*resource, *limit))
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether nothing more is allowed than by `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        other
            .limits()
            .all(|(resource, limit)| self.limit(resource).is_some_and(|own| own <= limit))
    }
}

impl TryFrom<BTreeMap<String, Value>> for Quota {
    type Error = BadQuota;

    /// Resources that only a newer version knows are left out.
    fn try_from(said: BTreeMap<String, Value>) -> Result<Self, BadQuota> {
        let mut quota = Self::default();
        for (name, value) in said {
            let Ok(resource) = name.parse::<Resource>() else {
                continue;
            };
            if value.is_null() {
                continue;
            }
            let limit = value.as_i64().ok_or_else(|| BadQuota::Limit {
                resource,
                found: value.to_string().chars().take(40).collect(),
            })?;
            quota.set(resource, Some(limit))?;
        }
        Ok(quota)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (resource, limit)) in self.limits().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{resource} {limit}")?;
        }
        Ok(())
    }
}

//! Usage records: what crosses the border, and what is counted.

use serde::{Deserialize, Serialize};

use super::{Interval, Kind, Life, Millis, Resource, Size};

/// Whose a resource is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The project's id at home.
    pub project_id: String,
    /// The user's id at home, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

/// Names a record: a resource that was resized has several. A later record of the same part takes the
/// place of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Part {
    /// What was used.
    #[serde(flatten)]
    pub resource: Resource,
    /// Counted from 0.
    pub part: u32,
}

/// Some time of one resource with one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which one.
    #[serde(flatten)]
    pub part: Part,
    /// Whose.
    #[serde(flatten)]
    pub owner: Owner,
    /// The host's region, as the host calls it.
    pub region: String,
    /// How big.
    pub size: Size,
    /// From when.
    pub from: Millis,
    /// Until when; `None` while it lasts.
    #[serde(default)]
    pub to: Option<Millis>,
}

/// Why a partner's record is not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsound(&'static str);

/// Longest text of a partner's that is kept, in bytes: what the database's columns take.
const LONGEST: usize = 255;
/// The largest amount that is believed: sums of as many as there are stay exact.
const LARGEST: u64 = 1 << 62;

impl Record {
    /// Whether it can be counted. A partner may say anything.
    ///
    /// # Errors
    /// Why not.
    pub fn require_sound(&self) -> Result<(), Unsound> {
        let size = &self.size;
        let texts = [
            Some(&self.part.resource.id),
            Some(&self.owner.project_id),
            self.owner.user_id.as_ref(),
            Some(&self.region),
            size.flavor.as_ref(),
        ];
        let printable = |text: &String| {
            (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control)
        };
        if !texts.into_iter().flatten().all(printable) {
            return Err(Unsound(
                "an id or a name is empty, too long or not printable",
            ));
        }
        if self.from < 0 || self.to.is_some_and(|to| to < self.from) {
            return Err(Unsound("it ends before it begins"));
        }
        if [size.vcpus, size.ram_mib, size.bytes]
            .iter()
            .any(|amount| *amount > LARGEST)
        {
            return Err(Unsound("an amount is larger than anything there is"));
        }
        Ok(())
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.part.resource.kind
    }

    /// How long it lasted between these two. What still lasts is counted until `to`.
    pub fn within(&self, from: Millis, to: Millis) -> Millis {
        let end = self.to.unwrap_or(to).min(to);
        (end - self.from.max(from)).max(0)
    }
}

/// The records of a life. `before` is how many there were: one that a late notice made superfluous is
/// left with no time.
pub fn parts(
    resource: &Resource,
    owner: &Owner,
    region: &str,
    life: &Life,
    before: usize,
) -> Vec<Record> {
    let mut intervals = life.intervals();
    if let Some(last) = intervals.last() {
        let end = last.to.unwrap_or(last.from);
        let nothing = Interval {
            from: end,
            to: Some(end),
            size: last.size.clone(),
        };
        let missing = before.saturating_sub(intervals.len());
        intervals.extend(std::iter::repeat_n(nothing, missing));
    }
    let records = intervals.into_iter().zip(0..);
    records
        .map(|(interval, part)| Record {
            part: Part {
                resource: resource.clone(),
                part,
            },
            owner: owner.clone(),
            region: region.to_owned(),
            size: interval.size,
            from: interval.from,
            to: interval.to,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Fact;

    fn life(facts: &[(Millis, Option<Millis>, Option<Millis>, Size)]) -> Life {
        let mut life = Life::default();
        for (at, began, ended, size) in facts {
            life.learn(&Fact {
                at: *at,
                began: *began,
                ended: *ended,
                size: Some(size.clone()),
                user_id: None,
            });
        }
        life
    }

    fn records(life: &Life, before: usize) -> Vec<Record> {
        let volume = Resource {
            kind: Kind::Volume,
            id: "v".into(),
        };
        let owner = Owner {
            project_id: "science".into(),
            user_id: None,
        };
        parts(&volume, &owner, "RegionOne", life, before)
    }

    #[test]
    fn what_runs_over_the_end_of_a_month_is_in_both_and_nothing_is_lost() {
        let size = Size::of_volume(1);
        let life = life(&[(50, Some(50), Some(170), size)]);
        let [record] = &records(&life, 0)[..] else {
            unreachable!("one size, one record");
        };
        assert_eq!(record.within(0, 100), 50);
        assert_eq!(record.within(100, 200), 70);
        assert_eq!(record.within(200, 300), 0);
        assert_eq!(record.within(0, 300), 120);
    }

    #[test]
    fn a_record_that_a_late_notice_makes_superfluous_is_left_with_no_time() {
        let (one, two) = (Size::of_volume(1), Size::of_volume(2));
        let early = life(&[
            (10, Some(10), None, one.clone()),
            (50, None, None, two.clone()),
        ]);
        assert_eq!(records(&early, 0).len(), 2);
        let late = life(&[(10, Some(10), Some(30), one), (50, None, None, two)]);
        let left: Vec<_> = records(&late, 2)
            .iter()
            .map(|one| one.within(0, 100))
            .collect();
        assert_eq!(left, [20, 0]);
    }

    #[test]
    fn a_record_reads_back_as_itself() -> Result<(), serde_json::Error> {
        let life = life(&[(10, Some(10), None, Size::of_volume(1))]);
        for record in records(&life, 0) {
            let text = serde_json::to_string(&record)?;
            assert_eq!(serde_json::from_str::<Record>(&text)?, record);
        }
        Ok(())
    }
}

//! Whether host and home count the same.

use std::collections::BTreeMap;

use super::{Millis, Part, Record};

/// A record that the two count differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub part: Part,
    /// What is counted here; `None` if it is not known here.
    pub here: Option<Record>,
    /// What is counted there.
    pub there: Option<Record>,
}

/// The records of which the two sides count another time, another size or another project between `from`
/// and `to`. What neither counts then is no difference.
pub fn reconcile(
    here: Vec<Record>,
    there: Vec<Record>,
    (from, to): (Millis, Millis),
) -> Vec<Difference> {
    let mut parts: BTreeMap<Part, (Option<Record>, Option<Record>)> = BTreeMap::new();
    for record in here {
        let part = record.part.clone();
        parts.entry(part).or_default().0 = Some(record);
    }
    for record in there {
        let part = record.part.clone();
        parts.entry(part).or_default().1 = Some(record);
    }
    let counted = |record: &Option<Record>| {
        let record = record.as_ref()?;
        let millis = record.within(from, to);
        (millis > 0).then(|| (millis, record.size.clone(), record.owner.project_id.clone()))
    };
    parts
        .into_iter()
        .filter(|(_, (here, there))| counted(here) != counted(there))
        .map(|(part, (here, there))| Difference { part, here, there })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::usage::{Kind, Owner, Resource, Size};

    fn record(id: &str, from: Millis, to: Option<Millis>) -> Record {
        Record {
            part: Part {
                resource: Resource {
                    kind: Kind::Volume,
                    id: id.into(),
                },
                part: 0,
            },
            owner: Owner {
                project_id: "science".into(),
                user_id: None,
            },
            region: "RegionOne".into(),
            size: Size::of_volume(1),
            from,
            to,
        }
    }

    #[test]
    fn a_record_that_one_side_counts_otherwise_is_shown() {
        let here = vec![
            record("a", 0, Some(10)),
            record("b", 0, Some(10)),
            record("d", 0, Some(9)),
        ];
        let there = vec![
            record("a", 0, Some(10)),
            record("c", 0, None),
            record("d", 0, Some(10)),
        ];
        let found = reconcile(here, there, (0, 100));
        let ids: Vec<_> = found
            .iter()
            .map(|one| one.part.resource.id.as_str())
            .collect();
        assert_eq!(ids, ["b", "c", "d"]);
    }

    #[test]
    fn what_is_not_of_that_time_is_no_difference() {
        let here = vec![record("a", 0, Some(10))];
        assert_eq!(reconcile(here.clone(), Vec::new(), (10, 100)), []);
        // That it ended is not known there yet; in the time before, both count the same.
        assert_eq!(reconcile(here, vec![record("a", 0, None)], (0, 10)), []);
    }

    proptest! {
        #[test]
        fn no_difference_means_equal_totals(
            times in proptest::collection::vec((0..100i64, proptest::option::of(0..50i64)), 0..20)
        ) {
            let records: Vec<_> = times.iter().enumerate().map(|(number, (from, lasted))| {
                record(&number.to_string(), *from, lasted.map(|lasted| from + lasted))
            }).collect();
            let total = |records: &[Record]| -> Millis {
                records.iter().map(|record| record.within(20, 80)).sum()
            };
            let mut there = records.clone();
            there.reverse();
            prop_assert_eq!(reconcile(records.clone(), there.clone(), (20, 80)), vec![]);
            prop_assert_eq!(total(&records), total(&there));
        }
    }
}

//! What a host tells home when a project has been retired there.

use serde::{Deserialize, Serialize};

use super::Cause;
use crate::Seconds;
use crate::cloud::CloudId;
use crate::numbering;
use crate::statement::said_to_one;
use crate::word::words;

/// How many items one receipt names at most; more make a further page.
pub const ITEMS: usize = 500;
/// Longest text of a partner's that is kept, in bytes.
const LONGEST: usize = 512;

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is gone.
    Deleted,
    /// It is still there.
    Left,
}

words!(Fate {
    Fate::Deleted = "deleted",
    Fate::Left = "left",
});

/// A resource of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it is: `server`, `volume`, `network`, ….
    pub kind: String,
    /// Its id at the host.
    pub id: String,
    /// Its name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What became of it.
    pub fate: Fate,
    /// Why it is still there, in the service's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One page of what was deleted and what could not be. A later revision of the same retirement takes the
/// place of an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The retirement's id at the host.
    pub retirement: String,
    /// 1, 2, …: a later one tells of what could not be deleted before.
    pub revision: u32,
    /// From 1.
    pub page: u32,
    /// How many there are of this revision.
    pub pages: u32,
    /// The project's id at home.
    pub project_id: String,
    /// Why it was retired.
    pub cause: Cause,
    /// When its access ended.
    pub began: Seconds,
    /// When this was so.
    pub at: Seconds,
    /// The resources.
    pub items: Vec<Item>,
}

/// A host's receipts for one home, numbered from `after` + 1 on without a gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipts {
    /// The host.
    pub iss: CloudId,
    /// The projects' home.
    pub aud: CloudId,
    /// When it was said, seconds.
    pub iat: Seconds,
    /// The number before the receipt's.
    pub after: u64,
    /// The next receipt; none: there is no further one.
    #[serde(default)]
    pub receipt: Option<Receipt>,
}

said_to_one!(Receipts, "alliance-retirement-receipt+jwt", at most 1 << 20);

/// Why a receipt is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// It is not the next one.
    #[error("the receipt has number {sent}, but {expected} is the next")]
    Gap {
        /// The next.
        expected: u64,
        /// What was sent.
        sent: u64,
    },
    /// It cannot be what it says.
    #[error("{0}")]
    Nonsense(&'static str),
}

impl Receipts {
    /// The receipt after number `known`, if there is one, and its number. A host that was restored from a
    /// backup begins again at another number.
    ///
    /// # Errors
    /// See [`Unsound`]. A partner may say anything.
    pub fn after(self, known: u64) -> Result<Option<(u64, Receipt)>, Unsound> {
        let Some(receipt) = self.receipt else {
            return Ok(None);
        };
        let sent = self.after.saturating_add(1);
        if !numbering::is_next(known, sent) {
            return Err(Unsound::Gap {
                expected: known.saturating_add(1),
                sent,
            });
        }
        receipt.require_sound()?;
        Ok(Some((sent, receipt)))
    }
}

impl Receipt {
    /// The pages of a revision: one at least.
    pub fn pages(first: &Self, items: &[Item]) -> Vec<Self> {
        let mut chunks: Vec<&[Item]> = items.chunks(ITEMS).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        let pages = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        let numbered = chunks.into_iter().zip(1..);
        numbered
            .map(|(items, page)| Self {
                page,
                pages,
                items: items.to_vec(),
                ..first.clone()
            })
            .collect()
    }

    fn require_sound(&self) -> Result<(), Unsound> {
        if self.page == 0 || self.page > self.pages || self.revision == 0 {
            return Err(Unsound::Nonsense("its page or revision is none"));
        }
        if self.items.len() > ITEMS {
            return Err(Unsound::Nonsense("it names too many resources"));
        }
        let own = [&self.retirement, &self.project_id].into_iter();
        let ids = self.items.iter().flat_map(|item| [&item.kind, &item.id]);
        let is_printable =
            |text: &String| text.len() <= LONGEST && !text.chars().any(char::is_control);
        let more = self
            .items
            .iter()
            .flat_map(|item| [&item.name, &item.reason]);
        let is_sound = own.chain(ids).all(|text| !text.is_empty() && is_printable(text))
            && more.flatten().all(is_printable)
            // Columns of the database.
            && self.retirement.len() <= 36
            && self.project_id.len() <= 64;
        if is_sound {
            Ok(())
        } else {
            Err(Unsound::Nonsense(
                "an id, a name or a reason is empty, too long or not printable",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> Receipt {
        Receipt {
            retirement: "r".into(),
            revision: 1,
            page: 1,
            pages: 1,
            project_id: "p".into(),
            cause: Cause::ProjectDeleted,
            began: 5,
            at: 9,
            items: vec![item("s".into())],
        }
    }

    fn item(id: String) -> Item {
        Item {
            kind: "server".into(),
            id,
            name: None,
            fate: Fate::Deleted,
            reason: None,
        }
    }

    fn sent(after: u64, receipt: Receipt) -> Receipts {
        Receipts {
            iss: CloudId::from_spki(b"east"),
            aud: CloudId::from_spki(b"west"),
            iat: 10,
            after,
            receipt: Some(receipt),
        }
    }

    #[test]
    fn only_the_next_receipt_is_taken_in() {
        assert_eq!(sent(3, receipt()).after(3), Ok(Some((4, receipt()))));
        let restored = numbering::restart(1_764_400_000, 0);
        let next = sent(restored, receipt()).after(3);
        assert_eq!(next, Ok(Some((restored + 1, receipt()))));
        for (after, known) in [(4, 3), (2, 3)] {
            let error = sent(after, receipt()).after(known);
            assert!(matches!(error, Err(Unsound::Gap { .. })), "{error:?}");
        }
    }

    #[test]
    fn nonsense_is_not_taken_in() {
        let spoiled: [fn(&mut Receipt); 6] = [
            |receipt| receipt.page = 2,
            |receipt| receipt.revision = 0,
            |receipt| receipt.retirement = "x".repeat(37),
            |receipt| receipt.items[0].id = String::new(),
            |receipt| receipt.items[0].reason = Some("\u{1b}[2J".into()),
            |receipt| receipt.items = vec![item("s".into()); ITEMS + 1],
        ];
        for spoil in spoiled {
            let mut receipt = receipt();
            spoil(&mut receipt);
            assert!(sent(0, receipt.clone()).after(0).is_err(), "{receipt:?}");
        }
    }

    #[test]
    fn a_long_list_has_pages_and_an_empty_one_has_one() {
        let items: Vec<_> = (0..=ITEMS).map(|number| item(number.to_string())).collect();
        let pages = Receipt::pages(&receipt(), &items);
        let shape: Vec<_> = pages
            .iter()
            .map(|page| (page.page, page.pages, page.items.len()))
            .collect();
        assert_eq!(shape, [(1, 2, ITEMS), (2, 2, 1)]);
        assert_eq!(Receipt::pages(&receipt(), &[]).len(), 1);
    }
}

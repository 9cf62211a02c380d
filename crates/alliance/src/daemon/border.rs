//! How the way to each partner is, as the pulls from it show. In memory: a daemon that starts knows
//! what the database has, and measures anew. So does one that pulls only when it is told to, since another
//! instance does otherwise: what it has measured does not count for long.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alliance_core::Seconds;
use alliance_core::cloud::CloudId;
use alliance_core::skew::Skew;
use alliance_peer::client::Contact;
use alliance_store::Facts;

use super::directory::Known;
use crate::wire::{BorderView, RoundTrips};

/// How many round trips are remembered for each partner.
const ROUND_TRIPS: usize = 16;

/// What was measured counts for so many pulls of who pulls regularly.
const COUNTS_FOR: u32 = 4;
/// One that is not answered takes some seconds.
const COUNTS_FOR_LEAST: Duration = Duration::from_secs(60);

/// What the pulls showed.
pub(crate) struct Border {
    /// For how long what was measured counts. Seconds.
    counts_for: Seconds,
    /// `[catalog] hide_unreachable`
    hide_after: Option<Duration>,
    partners: Mutex<HashMap<CloudId, Way>>,
}

#[derive(Debug)]
struct Way {
    is_silent: bool,
    /// Since when it is so.
    since: Seconds,
    measured_at: Seconds,
    round_trips: VecDeque<Duration>,
    skew: Option<Skew>,
    version: Option<String>,
}

impl Way {
    fn new(is_silent: bool, since: Seconds) -> Self {
        Self {
            is_silent,
            since,
            measured_at: since,
            round_trips: VecDeque::new(),
            skew: None,
            version: None,
        }
    }
}

impl Border {
    /// Nothing was measured yet; who measures regularly does so every `refresh`. With `hide_after`, regions
    /// of a partner are hidden when it was silent for so long.
    pub(crate) fn new(refresh: Duration, hide_after: Option<Duration>) -> Self {
        let counts_for = refresh
            .saturating_mul(COUNTS_FOR)
            .max(COUNTS_FOR_LEAST)
            .as_secs();
        Self {
            counts_for: Seconds::try_from(counts_for).unwrap_or(Seconds::MAX),
            hide_after,
            partners: Mutex::default(),
        }
    }

    /// Another instance measures from now on; what it finds is in the database.
    pub(crate) fn forget_all(&self) {
        self.lock().clear();
    }

    /// A partner has answered a pull.
    pub(crate) fn answered(&self, cloud_id: &CloudId, contact: Option<Contact>, now: Seconds) {
        let mut partners = self.lock();
        let way = self.way(&mut partners, cloud_id, now, || Way::new(false, now));
        if way.is_silent {
            (way.is_silent, way.since) = (false, now);
        }
        if let Some(contact) = contact {
            way.round_trips.truncate(ROUND_TRIPS - 1);
            way.round_trips.push_front(contact.round_trip);
            way.skew = contact.skew;
            way.version = contact.version;
        }
    }

    /// A partner, of which `facts` were known before, has not answered a pull.
    pub(crate) fn was_silent(&self, cloud_id: &CloudId, facts: &Facts, now: Seconds) {
        let mut partners = self.lock();
        let before = || Way::new(true, silent_before(facts).unwrap_or(now));
        let way = self.way(&mut partners, cloud_id, now, before);
        if !way.is_silent {
            (way.is_silent, way.since) = (true, now);
        }
    }

    /// A way that is being measured: as it was, or `new` if nothing counts of that any more.
    fn way<'a>(
        &self,
        partners: &'a mut HashMap<CloudId, Way>,
        cloud_id: &CloudId,
        now: Seconds,
        new: impl FnOnce() -> Way,
    ) -> &'a mut Way {
        let before = partners.remove(cloud_id);
        let before = before.filter(|way| self.counts(way, now));
        let way = before.unwrap_or_else(new);
        let way = partners
            .entry(cloud_id.clone())
            .insert_entry(way)
            .into_mut();
        way.measured_at = now;
        way
    }

    fn counts(&self, way: &Way, now: Seconds) -> bool {
        now.saturating_sub(way.measured_at) < self.counts_for
    }

    /// Since when a partner does not answer; `None` if it does, as far as is known at `now`.
    pub(crate) fn silent_since(&self, known: &Known, now: Seconds) -> Option<Seconds> {
        match self.lock().get(&known.partner.cloud_id) {
            Some(way) if self.counts(way, now) => way.is_silent.then_some(way.since),
            Some(_) | None => silent_before(&known.facts),
        }
    }

    /// Whether a partner's regions are hidden at `now`, since it does not answer.
    pub(crate) fn is_hidden(&self, known: &Known, now: Seconds) -> bool {
        self.hide_after
            .zip(self.silent_since(known, now))
            .is_some_and(|(after, since)| now - since >= after.as_secs().cast_signed())
    }

    /// For operators.
    pub(crate) fn view(&self, known: &Known, now: Seconds) -> BorderView {
        let is_hidden = self.is_hidden(known, now);
        let unreachable_since = self.silent_since(known, now);
        let partners = self.lock();
        let way = partners.get(&known.partner.cloud_id);
        let way = way.filter(|way| self.counts(way, now));
        let told = known.descriptor();
        BorderView {
            reachable_since: way.filter(|way| !way.is_silent).map(|way| way.since),
            unreachable_since,
            is_hidden,
            round_trips: way.and_then(|way| round_trips(&way.round_trips)),
            skew: way.and_then(|way| way.skew),
            last_change: known.facts.changed_at,
            descriptor_till: told.map(|told| told.exp),
            protocol: told.map(|told| told.v),
            version: way.and_then(|way| way.version.clone()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CloudId, Way>> {
        self.partners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Since when a partner was silent before this daemon started.
fn silent_before(facts: &Facts) -> Option<Seconds> {
    facts.last_error.as_ref().and(facts.last_seen)
}

fn round_trips(measured: &VecDeque<Duration>) -> Option<RoundTrips> {
    let seconds = |time: &Duration| time.as_secs_f64();
    Some(RoundTrips {
        last: seconds(measured.front()?),
        least: seconds(measured.iter().min()?),
        most: seconds(measured.iter().max()?),
        count: measured.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::directory::tests::knows_west;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    const PULLS: Duration = Duration::from_secs(30);

    fn contact(millis: u64) -> Contact {
        Contact {
            round_trip: Duration::from_millis(millis),
            skew: None,
            version: Some("0.1.0".into()),
        }
    }

    #[tokio::test]
    async fn a_partner_is_hidden_when_it_was_silent_long_enough_and_back_with_its_first_answer()
    -> Outcome {
        let (directory, _, west, _folder) = knows_west().await?;
        let partners = directory.partners();
        let known = partners.by_cloud(&west).ok_or("west is not known")?;
        let border = Border::new(PULLS, Some(Duration::from_secs(60)));
        assert!(!border.is_hidden(known, 10_000), "it was never asked");
        border.answered(&west, Some(contact(5)), 1000);
        assert_eq!(border.silent_since(known, 1000), None);
        border.was_silent(&west, &known.facts, 1030);
        border.was_silent(&west, &known.facts, 1060);
        assert_eq!(border.silent_since(known, 1060), Some(1030));
        assert!(!border.is_hidden(known, 1089));
        assert!(border.is_hidden(known, 1090));
        border.answered(&west, None, 1100);
        assert!(!border.is_hidden(known, 1100));
        assert_eq!(border.view(known, 1100).reachable_since, Some(1100));
        let never = Border::new(PULLS, None);
        never.was_silent(&west, &known.facts, 1000);
        assert!(!never.is_hidden(known, 1119));
        Ok(())
    }

    #[tokio::test]
    async fn a_partner_that_was_silent_before_a_restart_is_so_since_it_was_last_seen() -> Outcome {
        let (directory, store, west, _folder) = knows_west().await?;
        store.partners().set_seen(&west, None, 500).await?;
        directory.reload().await?;
        let partners = directory.partners();
        let known = partners.by_cloud(&west).ok_or("west is not known")?;
        let border = Border::new(PULLS, Some(Duration::from_secs(60)));
        assert!(
            !border.is_hidden(known, 1000),
            "it answered until we stopped"
        );
        store.partners().set_failed(&west, "timeout").await?;
        directory.reload().await?;
        let partners = directory.partners();
        let known = partners.by_cloud(&west).ok_or("west is not known")?;
        assert!(border.is_hidden(known, 1000), "before its first pull");
        border.was_silent(&west, &known.facts, 1000);
        assert_eq!(border.silent_since(known, 1000), Some(500));
        Ok(())
    }

    /// As where another instance measures, and an operator had this one look.
    #[tokio::test]
    async fn what_was_measured_once_does_not_count_for_ever() -> Outcome {
        let (directory, store, west, _folder) = knows_west().await?;
        let partners = directory.partners();
        let known = partners.by_cloud(&west).ok_or("west is not known")?;
        let border = Border::new(PULLS, Some(Duration::from_secs(60)));
        border.was_silent(&west, &known.facts, 1000);
        assert!(border.is_hidden(known, 1119));
        assert!(!border.is_hidden(known, 1120), "the database knows better");
        assert_eq!(border.silent_since(known, 1120), None);
        border.answered(&west, Some(contact(5)), 2000);
        store.partners().set_seen(&west, None, 2010).await?;
        store.partners().set_failed(&west, "timeout").await?;
        directory.reload().await?;
        let partners = directory.partners();
        let known = partners.by_cloud(&west).ok_or("west is not known")?;
        assert_eq!(border.silent_since(known, 2119), None);
        assert!(border.view(known, 2119).round_trips.is_some());
        assert_eq!(border.silent_since(known, 2120), Some(2010));
        assert!(border.view(known, 2120).round_trips.is_none());
        border.was_silent(&west, &known.facts, 2130);
        assert_eq!(border.silent_since(known, 2130), Some(2010));
        Ok(())
    }

    #[tokio::test]
    async fn only_the_last_round_trips_count() -> Outcome {
        let (directory, _, west, _folder) = knows_west().await?;
        let partners = directory.partners();
        let known = partners.by_cloud(&west).ok_or("west is not known")?;
        let border = Border::new(PULLS, None);
        for millis in [900, 4].into_iter().chain(10..25) {
            border.answered(&west, Some(contact(millis)), 1000);
        }
        let view = border.view(known, 1000);
        assert_eq!(view.version.as_deref(), Some("0.1.0"));
        let measured = view.round_trips.ok_or("none was measured")?;
        assert_eq!((measured.last, measured.most), (0.024, 0.024));
        assert_eq!((measured.least, measured.count), (0.004, ROUND_TRIPS));
        Ok(())
    }
}

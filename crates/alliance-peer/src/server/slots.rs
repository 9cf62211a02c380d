//! How many of something each of several parties may hold at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts slots per key; keys that hold none take no room.
#[derive(Debug)]
pub(super) struct Slots<K: Eq + Hash> {
    limit: usize,
    held: Mutex<HashMap<K, usize>>,
}

/// One slot; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Slot<K: Eq + Hash> {
    slots: Arc<Slots<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Slots<K> {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: Mutex::default(),
        })
    }

    /// A slot for `key`, unless it holds as many as it may.
    pub(super) fn take(self: &Arc<Self>, key: K) -> Option<Slot<K>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(key.clone()).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Slot {
            slots: self.clone(),
            key,
        })
    }
}

impl<K: Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut held = self
            .slots
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

/// What counts as one stranger: an IPv4 address, or the /64 that a single IPv6 host may use.
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let upper = u128::from(v6) & !u128::from(u64::MAX);
            Ipv6Addr::from(upper).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_and_leave_nothing_behind() {
        let slots = Slots::new(2);
        let first = slots.take("west");
        let second = slots.take("west");
        assert!(first.is_some() && second.is_some());
        assert!(slots.take("west").is_none());
        assert!(slots.take("east").is_some());
        drop(first);
        assert!(slots.take("west").is_some());
        drop(second);
        assert!(slots.held.lock().unwrap().is_empty());
    }

    #[test]
    fn one_host_with_many_ipv6_addresses_is_one_stranger() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}

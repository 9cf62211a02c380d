//! Numbers of what one cloud tells another in order: usage records, notices, receipts.
//!
//! They go up by one. A cloud whose database was restored from a backup does not know which numbers it
//! has given since, and gives none of them twice: it goes on far above them, at a multiple of a
//! [`STRIDE`] that follows from the time. Whoever reads takes such a jump for what it is.

use crate::Seconds;

/// How many numbers a cloud may give in a second without reaching those after the next restore. No clock
/// shows fewer seconds than that.
const STRIDE: u64 = 1 << 22;

/// The number after which a cloud goes on that was restored at `now`; `before` is the one after which it
/// went on the last time, 0 if it never was.
pub fn restart(now: Seconds, before: u64) -> u64 {
    let seconds = now.max(0).unsigned_abs();
    seconds.max(before / STRIDE + 1) * STRIDE
}

/// Whether what comes after number `after` follows what ends with `known`, since its sender was restored in
/// between: what is missing was never given, or is given again.
pub fn is_restart(known: u64, after: u64) -> bool {
    after > known && after.is_multiple_of(STRIDE)
}

/// Whether `number` is the one after `known`.
pub fn is_next(known: u64, number: u64) -> bool {
    match number.checked_sub(1) {
        Some(after) => after == known || is_restart(known, after),
        None => false,
    }
}

/// Whether its sender was restored before it gave this number.
pub fn was_restored(number: u64) -> bool {
    number >= STRIDE * STRIDE
}

/// How many have been given up to this one, since their sender was restored, if it ever was.
pub fn count(number: u64) -> u64 {
    if was_restored(number) {
        number % STRIDE
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice_however_old_the_backup_and_however_often_it_is_restored() {
        let now = 1_764_400_000;
        let first = restart(now, 0);
        assert!(first > 1_000_000_000_000);
        // The same backup, a second later, after as many as can be told in that time.
        assert!(restart(now + 1, 0) > first + 4_000_000);
        // A clock that was set back.
        assert!(restart(0, first) > first);
        assert!(restart(-1, 0) > 0);
        // As a number in JSON and in a database.
        assert!(first < 1 << 53);
    }

    #[test]
    fn a_jump_is_told_from_a_gap() {
        let restored = restart(1_764_400_000, 0);
        assert!(is_restart(7, restored) && is_restart(restored + 3, restart(0, restored)));
        assert!(
            !is_restart(7, 8) && !is_restart(7, restored + 1) && !is_restart(restored, restored)
        );
        assert!(is_next(7, 8) && is_next(7, restored + 1) && is_next(restored, restored + 1));
        assert!(!is_next(7, 9) && !is_next(7, restored + 2) && !is_next(7, 0) && !is_next(8, 8));
    }

    #[test]
    fn a_count_is_no_number() {
        let restored = restart(1_764_400_000, 0);
        assert_eq!((count(5_000_000), count(restored + 12)), (5_000_000, 12));
        assert!(was_restored(restored + 1) && !was_restored(5_000_000));
    }
}

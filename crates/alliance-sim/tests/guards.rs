//! Without one of its guards the simulation fails, and says what the guard was for.

use alliance_sim::{Guard, Invariant, Settings, search};

/// Simulates seeds from this one on, without the guard, until one fails. The first does; a change of the
/// simulation may make it another one.
#[track_caller]
fn fails_without(guard: Guard, from: u64, expected: Invariant) {
    let settings = Settings {
        without: [guard].into(),
        record: false,
    };
    let failed = search(from..from + 200, &settings, 2, true);
    let Some((seed, violation)) = failed.first() else {
        unreachable!("nothing fails without {guard}: it guards nothing");
    };
    assert_eq!(violation.invariant, expected, "seed {seed}: {violation}");
}

#[test]
fn a_number_that_becomes_visible_late_is_skipped() {
    fails_without(Guard::BoardOrder, 2, Invariant::SignOutLost);
}

#[test]
fn what_is_acknowledged_before_it_is_on_the_board_is_lost() {
    fails_without(Guard::AckAfterBoard, 2, Invariant::SignOutLost);
}

#[test]
fn a_metering_process_that_was_paused_writes_though_another_works() {
    fails_without(Guard::Fence, 8, Invariant::TwoLeadersWrite);
}

#[test]
fn a_leader_that_was_paused_counts_what_another_has_counted() {
    fails_without(Guard::Positions, 1, Invariant::CountedTwice);
}

#[test]
fn an_instance_that_was_paused_vouches_from_memory() {
    fails_without(Guard::Freshness, 2, Invariant::RevokedTokenAccepted);
}

#[test]
fn an_old_answer_outlives_the_promise() {
    fails_without(Guard::AnswerAge, 4, Invariant::RevokedTokenAccepted);
}

#[test]
fn an_instance_that_was_paused_with_the_lock_stops_the_others() {
    fails_without(Guard::IdleTransactions, 2, Invariant::SignOutLate);
}

#[test]
fn an_instance_that_missed_something_vouches_by_an_old_list() {
    fails_without(Guard::StartOver, 2039, Invariant::RevokedTokenAccepted);
}

#[test]
fn a_session_whose_instance_died_lives_on() {
    fails_without(Guard::SessionsOfOthers, 2, Invariant::SidesDisagree);
}

#[test]
fn a_poll_waits_at_an_instance_without_a_database() {
    fails_without(Guard::FreshPolls, 2, Invariant::SignOutLate);
}

#[test]
fn what_an_instance_ended_before_it_died_keystone_is_not_told() {
    fails_without(Guard::Untold, 5, Invariant::SidesDisagree);
}

#[test]
fn an_old_answer_ends_an_agreement_that_was_just_received() {
    fails_without(Guard::HeldBeforeAsked, 11, Invariant::SidesDisagree);
}

//! What holds whatever fails, and that the same seed is the same story.

use alliance_sim::{Settings, replay_command, run, search};

/// As many as take half a minute on one slow core; the rest is for the night.
const SEEDS: u64 = 40;

#[test]
fn no_seed_breaks_an_invariant() {
    let settings = Settings::default();
    let failed: Vec<_> = search(1..1 + SEEDS, &settings, 2, false)
        .into_iter()
        .map(|(seed, violation)| {
            let command = replay_command(seed, &settings);
            format!("seed {seed}: {violation}\n  {command}")
        })
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_same_seed_is_the_same_story_to_the_last_byte() {
    let recorded = Settings {
        record: true,
        ..Settings::default()
    };
    let (one, other) = (run(7, recorded.clone()), run(7, recorded.clone()));
    assert!(one.history.lines().count() > 1000);
    assert!(one.history == other.history);
    // Nor does it matter whether anybody writes it down.
    let unrecorded = run(7, Settings::default());
    assert_eq!(unrecorded.tally, one.tally);
    assert!(unrecorded.history.is_empty());
    assert!(run(8, recorded).history != one.history);
}

#[test]
fn a_seed_is_full_of_life() {
    let tally = run(1, Settings::default()).tally;
    let counts = [
        tally.accepted,
        tally.refused,
        tally.ended,
        tally.records,
        tally.agreements,
    ];
    assert!(counts.iter().all(|count| *count > 10), "{tally:?}");
}

//! What the fuzz targets start from, and what they have found, with every run of the tests.

use std::fs;
use std::path::Path;

#[expect(unreachable_pub, reason = "it is a crate of its own, too")]
#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 9] = [
    ("recognise", targets::recognise),
    ("jws", targets::jws),
    ("cms", targets::cms),
    ("pkiz", targets::pkiz),
    ("body", targets::body),
    ("keys", targets::keys),
    ("claims", targets::claims),
    ("message", targets::message),
    ("plan", targets::plan),
];

#[test]
fn the_fuzz_corpora_break_nothing() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let folders = fs::read_dir(&corpus).unwrap();
    let mut folders: Vec<_> = folders
        .map(|folder| folder.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut names = TARGETS.map(|(name, _)| name);
    names.sort_unstable();
    assert_eq!(folders, names);
    for (name, target) in TARGETS {
        let files = fs::read_dir(corpus.join(name)).unwrap();
        let mut fed = 0;
        for file in files {
            target(&fs::read(file.unwrap().path()).unwrap());
            fed += 1;
        }
        assert!(fed >= 3, "{name}");
    }
}

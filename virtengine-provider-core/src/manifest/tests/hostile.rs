use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::document::{PROBLEMS_MAX, TEXT_BYTES_MAX};

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the test measures that the work is bounded"
)]
fn huge_manifests_are_answered_in_bounded_time_and_space() {
    let service =
        |i: usize| format!("  s{i}: {{image: nginx, expose: [{{port: 80, to: [{{global: true}}]}}]}}\n");
    let many: String = (0..12_000).map(service).collect();
    let ports: String = (0..30_000).map(|i| format!("{{port: {i}}},")).collect();
    let unknown: String = (0..60_000).map(|i| format!("k{i}: 1\n")).collect();
    let long_key = "x".repeat(500_000);
    for (name, text) in [
        ("services", format!("version: v2beta1\nservices:\n{many}")),
        (
            "ports",
            format!("version: v2beta1\nservices: {{a: {{image: a, expose: [{ports}]}}}}\n"),
        ),
        ("unknown keys", format!("version: v1\n{unknown}")),
        (
            "long key",
            format!("version: v1\nname: a\n\"{long_key}\": {{}}\n"),
        ),
        (
            "long number",
            format!(
                "version: v1\nname: a\nservices: [{{resources: {{cpu: {}}}}}]",
                "9".repeat(900_000)
            ),
        ),
        ("too long", "#".repeat(TEXT_BYTES_MAX + 1)),
    ] {
        let begun = Instant::now();
        let problems = read(text.as_bytes()).unwrap_err();
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{name}: {:?}",
            begun.elapsed()
        );
        assert!(problems.len() <= PROBLEMS_MAX, "{name}");
        let size: usize = lines(&problems).iter().map(String::len).sum();
        assert!(size < 100_000, "{name}: {size} bytes of problems");
    }
}

#[test]
fn sums_that_leave_the_range_are_refused() {
    let text = "version: v1\nname: big\nservices:\n  - {name: a, type: container, image: a, replicas: 1000, resources: \
                {cpu: 9223372036854775807, memory: 9223372036854775807}}\n";
    let found = refused(text);
    assert_eq!(
        found,
        ["1:1 the services together ask for more than can be represented [INVALID_VALUE]"]
    );
}

#[derive(Debug, Clone)]
enum Edit {
    Remove(usize, usize),
    Insert(usize, String),
    Repeat(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<usize>(), 1..30_usize).prop_map(|(at, len)| Edit::Remove(at, len)),
        (any::<usize>(), "[-:{}\\[\\],\"'#&*!|>%0-9a-z \\n.]{1,6}")
            .prop_map(|(at, text)| Edit::Insert(at, text)),
        (any::<usize>(), 1..80_usize).prop_map(|(at, len)| Edit::Repeat(at, len)),
    ]
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let at = match edit {
            Edit::Remove(at, _) | Edit::Insert(at, _) | Edit::Repeat(at, _) => at % (chars.len() + 1),
        };
        match edit {
            Edit::Remove(_, len) => {
                let end = (at + len).min(chars.len());
                chars.drain(at..end);
            }
            Edit::Insert(_, text) => {
                chars.splice(at..at, text.chars());
            }
            Edit::Repeat(_, len) => {
                let end = (at + len).min(chars.len());
                let part: Vec<char> = chars[at..end].to_vec();
                chars.splice(at..at, part);
            }
        }
    }
    chars.into_iter().collect()
}

proptest! {
    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_edit_of_a_valid_manifest_makes_reading_panic(
        file in 0..VALID.len(),
        edits in proptest::collection::vec(edit(), 1..6),
    ) {
        let text = apply(&example(VALID[file]), &edits);
        match read(text.as_bytes()) {
            Ok(manifest) => {
                // Whatever is accepted has totals, a hash, and survives storage.
                prop_assert!(manifest.total().is_ok());
                let stored = serde_json::to_string(&manifest).unwrap();
                let again: ValidManifest = serde_json::from_str(&stored).unwrap();
                prop_assert_eq!(again.hash(), manifest.hash());
                for spec in manifest.group_specs() {
                    prop_assert_eq!(manifest.matches(&spec), Ok(()));
                    prop_assert!(spec.total().is_ok());
                }
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}

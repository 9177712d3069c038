//! A tenant's manifest: any text is read or refused with at least one problem; what was read can be read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virtengine_provider_core::manifest::read;

fuzz_target!(|text: &[u8]| {
    match read(text) {
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            for problem in problems {
                let _ = problem.to_string();
            }
        }
        Ok(manifest) => {
            assert!(manifest.total().is_ok(), "the totals were checked");
            assert_eq!(manifest.group_specs().len(), manifest.groups().len());
            let _ = (format!("{manifest:?}"), manifest.denom());
            let again = read(manifest.source().as_bytes()).expect("it was read before");
            assert_eq!(again.canonical_json(), manifest.canonical_json());
            assert_eq!(again.hash(), manifest.hash());
        }
    }
});

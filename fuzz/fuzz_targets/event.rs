//! Events of a block, as a node prints them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virtengine_chain::event::{AbciEvent, market_event};

fuzz_target!(|text: &[u8]| {
    let Ok(event) = serde_json::from_slice::<AbciEvent>(text) else {
        return;
    };
    match market_event(&event) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(None) => {}
        Ok(Some(event)) => {
            // It is journaled as JSON and must come back.
            let journaled = serde_json::to_vec(&event).expect("an event is JSON");
            let back = serde_json::from_slice(&journaled).expect("what was written is read");
            assert_eq!(event, back);
        }
    }
});

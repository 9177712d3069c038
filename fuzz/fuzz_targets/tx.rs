//! The bytes of a transaction: any are refused or read, and a message that was read says the same after writing and reading it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virtengine_chain::message::{decode, encode};
use virtengine_chain::tx::messages_of;

fuzz_target!(|bytes: &[u8]| {
    let Ok(messages) = messages_of(bytes) else {
        return;
    };
    for any in messages {
        match decode(&any) {
            Err(error) => {
                let _ = error.to_string();
            }
            Ok((sender, message)) => {
                // What a sender other than its signer would sign has no encoding.
                if let Ok(written) = encode(&message, &sender) {
                    assert_eq!(decode(&written), Ok((sender, message)));
                }
            }
        }
    }
});

//! The kit: the adapters of this crate keep every rule, and adapters that are known to be bad break exactly the one they should.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

mod bad;
mod kept;
mod wire;

//! Both adapters against the same rules, and each against its own.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot go on fails")]

mod conformance;
mod local;
mod memory;
mod support;

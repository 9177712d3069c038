//! The daemon's own log, kept where `virtengine-provider logs` finds it: the last lines in memory, and in two files that take
//! turns, so that they can be read after a restart and while the daemon is down.

mod layer;
mod ring;

pub use layer::RingLayer;
pub use ring::{LogRing, LogRingOptions, read_log_files};

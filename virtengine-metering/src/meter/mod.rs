//! The meter of one workload: counters in, windows out.
//!
//! ```text
//!          Start                 Sample (as often as wanted)
//!  Idle ──────────► Metering ◄──┐   CountersSeen
//!                      │   └────┘   WindowClosed ─► a draft, waits for Sign ─► RecordSigned
//!                      │ Close      (a window closes with the first reading at or after its end)
//!                      ▼
//!                   Closed          WindowClosed (final) and Closed, in one commit, before the workload is torn down
//! ```
//!
//! - Windows follow each other without gap or overlap from start to close. The usage between two readings is spread over the
//!   windows that it touches in proportion to time, in integers, so that the sum over the records is exactly what was counted.
//! - A back end that counts anew says so with another epoch: what it counted since is added. A counter that falls without a
//!   new epoch is refused.
//! - A window waits for its reading. After an outage the windows in between are closed with the first reading after it (whole
//!   intervals together, up to 24 hours each). What was never read before the close is not in the records, and the records say
//!   so ([`crate::record::Coverage`]).
//! - Readings that repeat or come late change nothing; an event that is replayed changes nothing.
//!
//! Pausing needs no command: a paused workload's counters tell what it still uses.

mod command;
mod decide;
mod evolve;
mod spread;
mod state;

pub use command::{Command, Policy, Rejected, Start};
pub use state::{Event, Meter, Recorded, Started};

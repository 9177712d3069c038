//! Is the provider well? `/health` and one page per component.
//!
//! Whoever watches a component (a loop of the daemon) tells the [`HealthBoard`] what it found; the server only reads the board,
//! on a thread and a runtime of its own. So an answer never waits for a component: what hangs shows as *not checked since*.

mod board;
mod guarded;
mod report;
mod server;

pub use board::{HealthBoard, Observed};
pub(crate) use guarded::GuardedSource;
pub use report::{
    Component, ComponentHealth, ComponentStatus, HealthReport, HealthSnapshot, HealthSource, OverallStatus,
};
pub use server::{HealthServer, HealthServerError, HealthServerOptions};

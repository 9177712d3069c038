//! The life of a workload, from the match of its order until the back end says that it is gone.
//!
//! ```text
//!             Deploy            seen running
//!  PENDING ───────────► DEPLOYING ───────────► RUNNING ◄──────────► PAUSED
//!     │                  │  │  ▲                │   │                │  │
//!     │     seen stopped │  │  │ Deploy (live)  │   │ Stop,          │  │
//!     │     when it shall│  │  │                │   │ Terminate      │  │
//!     │     end          │  │  ├──────────┐     │   └──► STOPPING ◄──┘  │
//!     │                  ▼  │  │          │     │           │  │        │
//!     │              STOPPED│──┘◄─────────┼─────┼───────────┘  │        │
//!     │                  │  ▼             │     ▼              ▼        │
//!     └──────────────────┼─►FAILED────────┘◄────────────────────────────┘
//!                        ▼   ▼
//!                     TERMINATED        only when the back end has removed everything and says that it is gone
//! ```
//!
//! A workload has a *stage* (what is known to be so) and a *goal* (what shall be so). When they differ the adapter has an
//! [`Errand`]: one [`Wish`] to carry out before its deadline. Three rules keep tenants safe:
//!
//! * RUNNING, PAUSED, STOPPED and TERMINATED are entered only by observation; commands only change the goal.
//! * An observation that says nothing, or is older than the stage, changes nothing.
//! * FAILED needs positive evidence: twice over a grace period, or after a deadline, or the adapter's own refusal. A deadline
//!   that passes while nobody can see the workload marks the errand overdue; the next observation decides.

mod command;
mod decide;
mod event;
mod evolve;
mod state;

pub use command::{Command, Sight};
pub use decide::{Decision, Denied};
pub use event::{Cause, Event};
pub use state::{
    Deadlines, Errand, Failed, Goal, Settled, Stage, Suspicion, UnknownState, Watched, Wish, Workload,
    WorkloadState,
};

#[cfg(test)]
mod tests;

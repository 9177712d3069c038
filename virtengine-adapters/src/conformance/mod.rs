//! Whether an adapter keeps its promises: the rules that every [`Adapter`] is measured by, for ours and for third parties'.
//!
//! An author says how to reach the back end in a [`Fixture`], says in [`Open`] how a test gets one, and writes one line:
//!
//! ```ignore
//! virtengine_adapters::conformance!(MyFixture);
//! ```
//!
//! That is one `#[test]` for each of the [`RULES`], so one failure hides none. Without a back end each test prints why it is
//! skipped, and fails when the environment variable `CI` is set: there nothing may go unproven. The same rules run without a test
//! harness by [`run_all`], which is what `virtengine-provider adapter check` does. `examples/third_party.rs` is a whole adapter with
//! its fixture.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! use virtengine_adapters::conformance::{fixtures::MemoryFixture, run_all};
//!
//! let report = run_all(&MemoryFixture::default()).await;
//! assert!(report.is_passed(), "{report}");
//! # });
//! ```
//!
//! What a fixture cannot do (break the transport, kill a workload, …) it says with a reason, and the rules that need it are told as
//! *not applicable* with that reason, never silently left out.
//!
//! The kit makes and ends workloads of its own, with ids that begin with [`ID_PREFIX`], and touches nothing else; what exists
//! already may go on existing. Objects of ours that somebody else makes on the same back end while a rule runs look like leaks.
//!
//! Not looked at: [`Capabilities::exec`], for which the port has no call yet, and [`Capabilities::isolation`], which cannot be seen
//! from outside.
//!
//! [`Adapter`]: virtengine_provider_core::ports::adapter::Adapter
//! [`Capabilities::exec`]: virtengine_provider_core::ports::adapter::Capabilities::exec
//! [`Capabilities::isolation`]: virtengine_provider_core::ports::adapter::Capabilities::isolation

mod bench;
mod finding;
mod fixture;
pub mod fixtures;
mod polled;
mod report;
mod rules;
mod run;
mod testing;

pub use bench::ID_PREFIX;
pub use fixture::{
    Data, Fault, Faults, Fixture, FixtureResult, Foreign, Kill, Object, Open, Opened, Part, Reset, Unable,
    Vanish,
};
pub use report::{Outcome, Report, RuleReport};
pub use rules::{RULES, Rule};
pub use run::{remove_leftovers, run_all, run_each, run_rule};
#[doc(hidden)]
pub use testing::test;

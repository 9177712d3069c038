//! What the kit needs to know about a back end.

use std::time::Duration;

use async_trait::async_trait;
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::Adapter;
use virtengine_provider_core::workload::WorkloadSpec;

/// Result of something that a fixture does for the kit. An error fails the rule that needed it.
pub type FixtureResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What a fixture cannot do, and why. The rules that need it are not applicable, with these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unable(pub &'static str);

/// Something that a fixture can do, or why it cannot.
pub type Part<'a, T> = Result<&'a T, Unable>;

/// One back end under test.
///
/// The first five methods are needed; each further one adds rules that can be asked.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Name of the back end for the report, e.g. `memory`.
    fn name(&self) -> String;

    /// Another adapter before the same back end, as after a restart of the daemon. Every earlier one has been dropped.
    ///
    /// # Errors
    /// The back end cannot be reached.
    async fn adapter(&self) -> FixtureResult<Box<dyn Adapter>>;

    /// A workload of this id that the back end can run: it becomes ready by itself, uses CPU and, where logs can be read, writes
    /// a line each time it starts. One replica of each service; no GPU, no persistent volume; the same for the same id.
    fn spec(&self, id: WorkloadId) -> WorkloadSpec;

    /// Everything of ours that exists on the back end now, asked in another way than through the adapter: the check for leaks.
    /// Objects that come and go by themselves are left out.
    ///
    /// # Errors
    /// The back end cannot be asked.
    async fn exists(&self) -> FixtureResult<Vec<Object>>;

    /// In this time a running [`spec`](Self::spec) shows use of CPU in its counters. Default: 1 s.
    fn measurable(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// The longest that the back end takes to become what it was asked to be. Default: 1 min.
    fn patience(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Lets time pass for the back end. Default: sleeps.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Makes calls of the transport fail.
    ///
    /// # Errors
    /// It cannot.
    fn faults(&self) -> Part<'_, dyn Faults> {
        Err(Unable(
            "the fixture cannot make single calls of the transport fail",
        ))
    }

    /// Puts objects of others on the back end.
    ///
    /// # Errors
    /// It cannot.
    fn foreign(&self) -> Part<'_, dyn Foreign> {
        Err(Unable("the fixture cannot put objects of others on the back end"))
    }

    /// Writes and reads data of a workload.
    ///
    /// # Errors
    /// It cannot.
    fn data(&self) -> Part<'_, dyn Data> {
        Err(Unable("the fixture cannot reach the data of a workload"))
    }

    /// Ends the compute of a workload behind the adapter's back.
    ///
    /// # Errors
    /// It cannot.
    fn kill(&self) -> Part<'_, dyn Kill> {
        Err(Unable("the fixture cannot kill a workload"))
    }

    /// Removes a workload behind the adapter's back.
    ///
    /// # Errors
    /// It cannot.
    fn vanish(&self) -> Part<'_, dyn Vanish> {
        Err(Unable("the fixture cannot make a workload vanish"))
    }

    /// Makes the back end count from zero again.
    ///
    /// # Errors
    /// It cannot.
    fn reset(&self) -> Part<'_, dyn Reset> {
        Err(Unable("the fixture cannot reset the counters of the back end"))
    }
}

/// Something that exists on the back end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// What it is, with the id of the workload it belongs to, e.g. `process of conformance-1`. Apart from the id, the objects of
    /// every workload of the fixture have the same words.
    pub words: String,
    /// What tells it from another one with the same words, made before or beside it: the number of a process, a unique id. May be
    /// empty.
    pub instance: String,
}

impl Object {
    /// An object in words, with what tells it from others of the same words.
    #[must_use]
    pub fn new(words: impl Into<String>, instance: impl ToString) -> Self {
        Self {
            words: words.into(),
            instance: instance.to_string(),
        }
    }
}

/// How one call of the transport goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The back end refuses it with a fault of its own (HTTP 503, connection refused); it has no effect.
    Unavailable,
    /// It takes effect, but the answer does not arrive.
    LostAnswer,
    /// The connection is cut while the call is under way; whether it takes effect is left to chance.
    Cut,
    /// It is answered late: after the adapter's own limit when it has one, otherwise late enough to be noticed.
    Delayed,
    /// The back end refuses our credentials (HTTP 401 and 403); it has no effect.
    Denied,
    /// The back end asks us to slow down (HTTP 429); it has no effect.
    RateLimited,
}

/// Breaks the transport between adapter and back end, one call at a time. Calls are counted across all adapters of the fixture.
pub trait Faults: Send + Sync {
    /// The ways in which a call can be made to go wrong here.
    fn kinds(&self) -> &[Fault];

    /// The `k`-th call from now on (1 is the next one) goes wrong, that one only. Replaces what was armed before.
    fn arm(&self, k: u64, fault: Fault);

    /// No call goes wrong any more. Returns whether the armed one was reached.
    fn disarm(&self) -> bool;

    /// Calls so far, those that went wrong included.
    fn calls(&self) -> u64;
}

/// Objects on the back end that are not ours.
#[async_trait]
pub trait Foreign: Send + Sync {
    /// Puts something there that looks as much as possible like what the adapter makes, without being ours. One at a time.
    ///
    /// # Errors
    /// It cannot be made.
    async fn plant(&self) -> FixtureResult<()>;

    /// What became of it, in words; `None` when it is as it was planted.
    ///
    /// # Errors
    /// It cannot be looked at.
    async fn harm(&self) -> FixtureResult<Option<String>>;

    /// Takes it away again; missing is success.
    ///
    /// # Errors
    /// It cannot be removed.
    async fn remove(&self) -> FixtureResult<()>;
}

/// Data of a workload that outlive its compute.
#[async_trait]
pub trait Data: Send + Sync {
    /// Writes a text where the running workload keeps its data.
    ///
    /// # Errors
    /// It cannot be written.
    async fn write(&self, id: &WorkloadId, text: &str) -> FixtureResult<()>;

    /// Whether that text is still there. The workload is running.
    ///
    /// # Errors
    /// It cannot be looked at.
    async fn holds(&self, id: &WorkloadId, text: &str) -> FixtureResult<bool>;
}

/// Ends what a workload runs.
#[async_trait]
pub trait Kill: Send + Sync {
    /// Ends the compute of the running workload without a word to the adapter. The back end may start it again, and count that as
    /// a restart.
    ///
    /// # Errors
    /// It cannot be ended.
    async fn kill_workload(&self, id: &WorkloadId) -> FixtureResult<()>;
}

/// Removes a workload.
#[async_trait]
pub trait Vanish: Send + Sync {
    /// Removes everything of the workload without a word to the adapter.
    ///
    /// # Errors
    /// It cannot be removed.
    async fn make_vanish(&self, id: &WorkloadId) -> FixtureResult<()>;
}

/// Makes counters start again.
#[async_trait]
pub trait Reset: Send + Sync {
    /// The back end has lost what it counted for the running workload.
    ///
    /// # Errors
    /// It cannot be reset.
    async fn reset_counters(&self, id: &WorkloadId) -> FixtureResult<()>;
}

/// How a test gets a fixture.
#[async_trait]
pub trait Open {
    /// The fixture.
    type Fixture: Fixture;

    /// Whether all fixtures stand before one back end. Then the tests of one process run one after the other, since each would take
    /// the workloads of the others for leaks; test runners with a process for each test must be told so, too. Default: yes.
    const SHARED: bool = true;

    /// A fixture, or why there is no back end to test against.
    ///
    /// # Errors
    /// There should be one and it cannot be used.
    async fn open() -> FixtureResult<Opened<Self::Fixture>>;
}

/// What [`Open::open`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened<F> {
    /// A fixture to test with.
    Ready(F),
    /// No back end is configured, in words. The tests are skipped, and fail when the environment variable `CI` is set.
    NotConfigured(String),
}

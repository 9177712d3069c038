//! One rule at work: the adapter, what was there before, what the rule made, and patience.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::adapter::{Adapter, Counters, ErrorKind, Observation, Phase};
use virtengine_provider_core::workload::WorkloadSpec;

use super::finding::{Break, Finding, ensure};
use super::fixture::{Fixture, FixtureResult, Object};

/// What the ids of all workloads of the kit begin with.
pub const ID_PREFIX: &str = "conformance-";

/// First and longest wait between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);

/// What a rule works with.
pub(crate) struct Bench<'f> {
    pub(crate) fixture: &'f dyn Fixture,
    adapter: Option<Box<dyn Adapter>>,
    made: Vec<WorkloadId>,
    objects_before: Vec<Object>,
    listed_before: BTreeSet<WorkloadId>,
}

impl<'f> Bench<'f> {
    /// An adapter, and what exists before anything is made.
    pub(crate) async fn new(fixture: &'f dyn Fixture) -> Finding<Self> {
        let adapter = fixture.adapter().await?;
        Ok(Self {
            fixture,
            made: Vec::new(),
            objects_before: fixture.exists().await?,
            listed_before: adapter.list().await?.into_iter().collect(),
            adapter: Some(adapter),
        })
    }

    pub(crate) fn adapter(&self) -> &dyn Adapter {
        let adapter = self.adapter.as_deref();
        adapter.expect("it is only missing while a restart is under way, which holds this bench")
    }

    /// Drops the adapter and makes another one.
    pub(crate) async fn restart(&mut self) -> FixtureResult<()> {
        let before = self.adapter.take();
        drop(before);
        self.adapter = Some(self.fixture.adapter().await?);
        Ok(())
    }

    /// A workload that nobody has seen yet.
    pub(crate) fn spec(&mut self) -> WorkloadSpec {
        let id = fresh_id();
        self.made.push(id.clone());
        self.fixture.spec(id)
    }

    /// A new workload, deployed and ready.
    pub(crate) async fn running(&mut self) -> Finding<WorkloadSpec> {
        let spec = self.spec();
        self.run(&spec).await?;
        Ok(spec)
    }

    /// Deploys and waits until it is ready.
    pub(crate) async fn run(&self, spec: &WorkloadSpec) -> Finding {
        self.adapter().deploy(spec).await?;
        self.until(&spec.id, Phase::Running).await.map(drop)
    }

    pub(crate) async fn phase(&self, id: &WorkloadId) -> Finding<Phase> {
        Ok(self.adapter().observe(id).await?.phase)
    }

    /// Waits until the workload is in this phase.
    pub(crate) async fn until(&self, id: &WorkloadId, phase: Phase) -> Finding<Observation> {
        let what = format!("{phase:?}");
        self.observed(id, &what, |seen| seen.phase == phase).await
    }

    /// Observes until `wanted`; `what` says what was waited for.
    pub(crate) async fn observed(
        &self,
        id: &WorkloadId,
        what: &str,
        wanted: impl Fn(&Observation) -> bool + Send,
    ) -> Finding<Observation> {
        let mut waits = self.waits();
        loop {
            let seen = self.adapter().observe(id).await?;
            if wanted(&seen) {
                return Ok(seen);
            }
            ensure!(
                waits.again().await,
                "the workload was waited for to be {what}, but is {}",
                told(&seen)
            );
        }
    }

    /// Reads the counters until `wanted`.
    pub(crate) async fn counted(
        &self,
        id: &WorkloadId,
        what: &str,
        wanted: impl Fn(&Counters) -> bool + Send,
    ) -> Finding<Counters> {
        let mut waits = self.waits();
        loop {
            let counters = self.adapter().usage(id).await?;
            if wanted(&counters) {
                return Ok(counters);
            }
            ensure!(
                waits.again().await,
                "the counters were waited for to show {what}, but are {counters:?}"
            );
        }
    }

    /// Patience, to be used up.
    pub(crate) fn waits(&self) -> Waits<'f> {
        Waits {
            fixture: self.fixture,
            left: self.fixture.patience(),
            next: LOOK_AGAIN,
        }
    }

    /// What exists on the back end that did not when the rule began.
    pub(crate) async fn objects(&self) -> Finding<Vec<Object>> {
        let mut now = self.fixture.exists().await?;
        for before in &self.objects_before {
            if let Some(place) = now.iter().position(|object| object == before) {
                now.swap_remove(place);
            }
        }
        now.sort();
        Ok(now)
    }

    /// What the adapter lists that it did not when the rule began.
    pub(crate) async fn listed(&self) -> Finding<Vec<WorkloadId>> {
        let mut now = self.adapter().list().await?;
        now.retain(|id| !self.listed_before.contains(id));
        now.sort();
        // That each is named once is a rule of its own.
        now.dedup();
        Ok(now)
    }

    /// Whether everything that was listed when the rule began still is.
    pub(crate) async fn keeps_earlier(&self) -> Finding {
        let now: BTreeSet<WorkloadId> = self.adapter().list().await?.into_iter().collect();
        let lost: Vec<&WorkloadId> = self.listed_before.difference(&now).collect();
        ensure!(
            lost.is_empty(),
            "workloads that are not the kit's are listed no more: {lost:?}"
        );
        Ok(())
    }

    /// The objects of one running workload, without its name: the same for every workload of the fixture.
    pub(crate) async fn footprint(&self, id: &WorkloadId) -> Finding<Vec<String>> {
        Ok(nameless(&self.objects().await?, id))
    }

    /// Waits until the back end holds this one workload and nothing else, with the footprint that a single deploy has.
    pub(crate) async fn is_one(&self, id: &WorkloadId, footprint: &[String]) -> Finding {
        let mut waits = self.waits();
        let mut found = self.footprint(id).await?;
        while found != footprint {
            ensure!(
                waits.again().await,
                "one workload is {footprint:?} on this back end, but there is {found:?}"
            );
            found = self.footprint(id).await?;
        }
        let listed = self.listed().await?;
        ensure!(
            listed == [id.clone()],
            "one workload {id} was made, but listed are {listed:?}"
        );
        Ok(())
    }

    /// The objects that every workload of the fixture has, found by making one and ending it.
    pub(crate) async fn usual_footprint(&mut self) -> Finding<Vec<String>> {
        let spec = self.running().await?;
        let footprint = self.footprint(&spec.id).await?;
        ensure!(
            !footprint.is_empty(),
            "a workload runs, but the fixture sees nothing of it on the back end"
        );
        self.end(&spec.id).await?;
        Ok(footprint)
    }

    /// Terminates the workload and sees that nothing is left.
    pub(crate) async fn end(&self, id: &WorkloadId) -> Finding {
        self.adapter().terminate(id).await?;
        self.nothing_is_left().await
    }

    /// The same for a workload of which an earlier call may still be under way: nothing of it comes back later.
    pub(crate) async fn end_for_good(&self, id: &WorkloadId) -> Finding {
        self.end(id).await?;
        self.fixture.pass(self.fixture.measurable() / 4).await;
        self.nothing_is_left().await
    }

    /// Terminates what may be there or not. That this is success when it is not there is a rule of its own.
    pub(crate) async fn put_away(&self, id: &WorkloadId) -> Finding {
        match self.adapter().terminate(id).await {
            Err(error) if error.kind != ErrorKind::NotFound => Err(Break::from(error)),
            _ => Ok(()),
        }
    }

    /// Nothing of ours is left on the back end. Termination returns when that is so, so there is no wait.
    pub(crate) async fn nothing_is_left(&self) -> Finding {
        let listed = self.listed().await?;
        ensure!(
            listed.is_empty(),
            "everything was terminated, but still listed are {listed:?}"
        );
        let left = self.objects().await?;
        let left: Vec<&str> = left.iter().map(|object| object.words.as_str()).collect();
        ensure!(
            left.is_empty(),
            "everything was terminated, but there is still {left:?}"
        );
        Ok(())
    }

    /// Ends everything that the rule made, however it ended.
    pub(crate) async fn tidy(mut self) -> Finding {
        if let Ok(faults) = self.fixture.faults() {
            faults.disarm();
        }
        self.restart().await?;
        let mut outcome = Ok(());
        for id in std::mem::take(&mut self.made) {
            let ended = self.put_away(&id).await;
            outcome = outcome.and(ended);
        }
        outcome
    }
}

fn nameless(objects: &[Object], id: &WorkloadId) -> Vec<String> {
    let words = objects
        .iter()
        .map(|object| object.words.replace(id.as_str(), "*"));
    let mut words: Vec<String> = words.collect();
    words.sort();
    words
}

fn told(seen: &Observation) -> String {
    if seen.message.is_empty() {
        return format!("{:?}", seen.phase);
    }
    format!("{:?} ({})", seen.phase, seen.message)
}

/// An id that no other run of the kit uses.
pub(crate) fn fresh_id() -> WorkloadId {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nonce = (since.as_nanos() & u128::from(u32::MAX)) ^ (u128::from(std::process::id()) << 32);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed) % 1_000_000;
    let text = format!("{ID_PREFIX}{nonce:x}-{number}");
    text.parse()
        .expect("at most 12 + 16 + 1 + 6 lower-case letters, digits and dashes are a workload id")
}

/// Looks again and again, ever more seldom, until the fixture's patience is used up.
pub(crate) struct Waits<'f> {
    fixture: &'f dyn Fixture,
    left: Duration,
    next: Duration,
}

impl Waits<'_> {
    /// Waits once; `false` when there is no patience left.
    pub(crate) async fn again(&mut self) -> bool {
        if self.left.is_zero() {
            return false;
        }
        let wait = self.next.min(self.left);
        self.fixture.pass(wait).await;
        self.left = self.left.saturating_sub(wait);
        self.next = self.next.saturating_mul(2).min(LOOK_AGAIN_MAX);
        true
    }
}

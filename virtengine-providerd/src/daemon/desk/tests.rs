use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use virtengine_provider_core::id::WorkloadId;
use virtengine_provider_core::ports::journal::{EventQuery, Recovered, StoredEvent};
use virtengine_store::MemoryJournal;

use super::*;
use crate::provider::Wish;
use crate::provider::tests::fixture::{cores, inventory, manifest, no_key, settings};
use crate::provider::tests::market::{block, created};

/// The time that the runtime's clock tells, which stands still while something is done.
struct Paused(Instant);

impl Clock for Paused {
    fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.0.elapsed().as_millis()).unwrap();
        Timestamp::from_millis(1_700_006_400_000 + millis)
    }
}

/// A journal that counts its commits, and lets each through only while its door is open.
#[derive(Debug)]
struct Door {
    inner: MemoryJournal,
    commits: AtomicUsize,
    open: Semaphore,
}

#[async_trait]
impl Journal for Door {
    async fn recover(&self) -> Result<Recovered, JournalError> {
        self.inner.recover().await
    }

    async fn commit(&self, commit: Commit) -> Result<Position, JournalError> {
        let _pass = self.open.acquire().await.unwrap();
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.inner.commit(commit).await
    }

    async fn snapshot(&self, position: Position, state: Vec<u8>) -> Result<(), JournalError> {
        self.inner.snapshot(position, state).await
    }

    async fn events(&self, query: &EventQuery) -> Result<Vec<(Position, StoredEvent)>, JournalError> {
        self.inner.events(query).await
    }
}

struct Office {
    handle: DeskHandle,
    outbox: Arc<Outbox>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Office {
    async fn open(journal: Arc<dyn Journal>) -> Self {
        Self::open_with(journal, SNAPSHOT_EVERY).await
    }

    async fn open_with(journal: Arc<dyn Journal>, snapshot_every: u64) -> Self {
        let outbox = Arc::new(Outbox::default());
        let provider = Provider::new(settings(cores(50), no_key())).unwrap();
        let clock = Arc::new(Paused(Instant::now()));
        let recovered = Desk::recover(provider, journal, clock, Arc::clone(&outbox), None).await;
        let (mut desk, handle) = recovered.unwrap();
        (desk.snapshot_every, desk.snapshot_due) = (snapshot_every, desk.snapshot_at.0 + snapshot_every);
        let stop = CancellationToken::new();
        let task = tokio::spawn(desk.run(stop.clone()));
        Self {
            handle,
            outbox,
            stop,
            task,
        }
    }

    async fn close(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    /// As a power failure.
    fn kill(self) {
        self.task.abort();
    }

    async fn state(&self) -> Vec<u8> {
        self.handle
            .ask(|provider| provider.snapshot().unwrap())
            .await
            .unwrap()
    }
}

fn stocked() -> Fact {
    Fact::Inventory(inventory(cores(50)))
}

fn full() -> Option<JournalError> {
    Some(JournalError::Full("the test says so".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_told_or_begun_before_it_is_durable_and_nothing_is_lost() {
    let journal = MemoryJournal::new();
    let office = Office::open(Arc::new(journal.clone())).await;
    office.handle.tell(stocked()).await.unwrap();
    let before = journal.len();
    journal.fail_with(full());
    let telling = tokio::spawn({
        let handle = office.handle.clone();
        async move { handle.tell(block(1, vec![created(1)])).await }
    });
    let asking = tokio::spawn({
        let handle = office.handle.clone();
        async move { handle.ask(|provider| provider.height().0).await }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!telling.is_finished(), "told before it is durable");
    assert!(!asking.is_finished(), "a question saw what is not durable");
    assert!(office.outbox.is_empty(), "begun before it is durable");
    assert_eq!(journal.len(), before);
    journal.fail_with(None);
    telling.await.unwrap().unwrap();
    assert_eq!(asking.await.unwrap(), Ok(1));
    assert_eq!(office.outbox.len(), 1, "the bid");
    assert!(journal.len() > before);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_finds_the_state_and_the_effects_that_were_not_finished() {
    let journal = MemoryJournal::new();
    let office = Office::open(Arc::new(journal.clone())).await;
    office.handle.tell(stocked()).await.unwrap();
    office
        .handle
        .tell(block(1, vec![created(1), created(2)]))
        .await
        .unwrap();
    let before = office.state().await;
    let waiting = office.outbox.len();
    assert_eq!(waiting, 2);
    office.kill();
    let office = Office::open(Arc::new(journal)).await;
    assert_eq!(office.outbox.len(), waiting);
    assert_eq!(office.state().await, before);
    let first = office.outbox.next(|| Timestamp::from_millis(i64::MAX)).await;
    assert_eq!(first.kind(), "send_tx");
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn facts_that_come_together_are_committed_together() {
    let journal = Arc::new(Door {
        inner: MemoryJournal::new(),
        commits: AtomicUsize::new(0),
        open: Semaphore::new(1),
    });
    let office = Office::open(Arc::<Door>::clone(&journal)).await;
    office.handle.tell(stocked()).await.unwrap();
    journal.commits.store(0, Ordering::Relaxed);
    let pass = journal.open.acquire().await.unwrap();
    let telling: Vec<_> = (1..=100)
        .map(|height| {
            let handle = office.handle.clone();
            tokio::spawn(async move { handle.tell(block(height, vec![created(height)])).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(pass);
    for told in telling {
        told.await.unwrap().unwrap();
    }
    let commits = journal.commits.load(Ordering::Relaxed);
    assert!(commits <= 4, "{commits} commits for 100 facts");
    assert_eq!(office.handle.ask(|provider| provider.height().0).await, Ok(100));
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_wanted_and_unwanted_in_one_batch_is_never_begun() {
    let journal = Arc::new(Door {
        inner: MemoryJournal::new(),
        commits: AtomicUsize::new(0),
        open: Semaphore::new(1),
    });
    let office = Office::open(Arc::<Door>::clone(&journal)).await;
    let pass = journal.open.acquire().await.unwrap();
    let id = WorkloadId::local(b"backup");
    let deploy = Wish::Deploy {
        manifest: Box::new(manifest(1, "backup")),
        workload: id.clone(),
    };
    let wishes = [Fact::Operator(deploy), Fact::Operator(Wish::Terminate(id))];
    let blocker = tokio::spawn({
        let handle = office.handle.clone();
        async move { handle.tell(stocked()).await }
    });
    tokio::task::yield_now().await;
    let mut telling = Vec::new();
    for wish in wishes {
        let handle = office.handle.clone();
        telling.push(tokio::spawn(async move { handle.tell(wish).await }));
        tokio::task::yield_now().await;
    }
    drop(pass);
    blocker.await.unwrap().unwrap();
    for told in telling {
        told.await.unwrap().unwrap();
    }
    let recovered = journal.recover().await.unwrap();
    let kept: Vec<_> = recovered
        .outbox
        .iter()
        .map(|effect| effect.kind.as_str())
        .collect();
    assert_eq!(kept, ["terminate"]);
    assert_eq!(office.outbox.len(), 1);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_and_the_events_after_it_are_the_same_state() {
    let journal = MemoryJournal::new();
    let office = Office::open_with(Arc::new(journal.clone()), 50).await;
    office.handle.tell(stocked()).await.unwrap();
    for height in 1..=200 {
        office
            .handle
            .tell(block(height, vec![created(height)]))
            .await
            .unwrap();
    }
    let before = office.state().await;
    office.kill();
    let recovered = journal.recover().await.unwrap();
    let (position, _) = recovered.snapshot.expect("there is a snapshot");
    assert!(
        position.0 > 50 && recovered.events.len() < 120,
        "{}",
        recovered.events.len()
    );
    let office = Office::open(Arc::new(journal)).await;
    assert_eq!(office.state().await, before);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_no_snapshot_stops_nothing() {
    let journal = MemoryJournal::new();
    let office = Office::open_with(Arc::new(journal.clone()), 1).await;
    office.handle.tell(stocked()).await.unwrap();
    journal.fail_with(full());
    office.stop.cancel();
    // What is decided is durable; without a last snapshot the next start replays more.
    timeout(Duration::from_secs(30), office.task)
        .await
        .unwrap()
        .unwrap();
    journal.fail_with(None);
    let office = Office::open(Arc::new(journal)).await;
    assert!(
        office
            .handle
            .ask(|p| p.ledger().bounds().observed.is_some())
            .await
            .unwrap()
    );
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_a_full_disk_and_tells_nobody_what_was_not_written() {
    let journal = MemoryJournal::new();
    let office = Office::open(Arc::new(journal.clone())).await;
    office.handle.tell(stocked()).await.unwrap();
    let before = office.state().await;
    journal.fail_with(full());
    let telling = tokio::spawn({
        let handle = office.handle.clone();
        async move { handle.tell(block(1, vec![created(1)])).await }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    office.stop.cancel();
    timeout(Duration::from_secs(30), office.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(telling.await.unwrap(), Err(NotTaken::Stopping(Stopping)));
    assert!(office.outbox.is_empty(), "begun before it is durable");
    journal.fail_with(None);
    let office = Office::open(Arc::new(journal)).await;
    assert_eq!(office.state().await, before);
    office.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_is_refused_says_why_and_a_desk_that_is_gone_says_so() {
    let office = Office::open(Arc::new(MemoryJournal::new())).await;
    let wish = Fact::Operator(Wish::Terminate(WorkloadId::local(b"none")));
    assert_eq!(
        office.handle.tell(wish.clone()).await,
        Err(NotTaken::Refused(Refused::NoWorkload))
    );
    let handle = office.handle.clone();
    office.close().await;
    assert_eq!(handle.tell(wish).await, Err(NotTaken::Stopping(Stopping)));
    assert_eq!(handle.ask(|_| ()).await, Err(Stopping));
}

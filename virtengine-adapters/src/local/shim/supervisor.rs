//! The supervisor's loop: one thread, one owner of all state; everything else sends it messages.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::WaitOptions;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::super::cgroup::Group;
use super::super::control;
use super::super::layout::{self, SOCKET, WorkloadDir};
use super::super::logs::LogWriter;
use super::super::process::{self, Identity};
use super::super::record::{Desired, Exit, Goal, Intent, Request, Response, StageWord, Status};
use super::super::sweep::Owned;
use super::accounts::Accounts;
use super::capture::ReplicaLog;
use super::launch::{Launcher, Place};
use super::meter::Meter;
use super::places;
use super::proxy;
use super::replica::{Replica, Stage};
use super::server;
use super::storage::Occupied;

/// What the supervisor is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Somebody asks on the control socket.
    Asked {
        request: Request,
        reply: oneshot::Sender<Response>,
    },
    /// A replica answered, or did not.
    Answered {
        position: usize,
        start: u64,
        about: About,
        answer: Result<(), String>,
    },
    /// The data were walked; it took so long.
    Measured { occupied: Occupied, took: Duration },
}

/// What a replica was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// Whether it accepts connections, when there is no health check.
    Readiness,
    /// Its health check.
    Health,
    /// The hook after its start.
    PostStart,
    /// The hook before its end.
    PreStop,
}

/// A command beside the main program of a replica.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) ended: oneshot::Sender<Exit>,
    pub(super) kill_at: u64,
}

/// Everything that the supervisor of one workload knows.
pub(super) struct Supervisor {
    pub(super) dir: WorkloadDir,
    pub(super) intent: Intent,
    pub(super) desired: Desired,
    pub(super) replicas: Vec<Replica>,
    /// Same positions as `replicas`.
    pub(super) logs: Vec<Arc<Mutex<ReplicaLog>>>,
    pub(super) captures: Vec<JoinHandle<()>>,
    pub(super) launcher: Launcher,
    pub(super) accounts: Accounts,
    pub(super) beside: BTreeMap<i32, Beside>,
    /// Why a replica was killed by us, by position: said when its end is seen.
    pub(super) causes: BTreeMap<usize, String>,
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) shared: proxy::Shared,
    /// Exposed ports that we do not listen on yet, and whether they count.
    pub(super) closed_ports: Vec<(u16, bool)>,
    pub(super) next_port_try: u64,
    pub(super) problems: Vec<String>,
    pub(super) born: Instant,
    pub(super) frozen: bool,
    pub(super) leaving: bool,
    pub(super) finished: bool,
    /// Whether the next status must survive a power cut.
    pub(super) must_last: bool,
    written: Option<Status>,
    me: Identity,
    complaint: String,
}

/// Time between two looks at everything.
const TICK: Duration = Duration::from_millis(50);

/// Messages that wait; senders wait beyond that.
const INBOX_MAX: usize = 256;

/// How long reading what replicas wrote before they ended may take.
const LAST_WORDS_PATIENCE: Duration = Duration::from_secs(1);

/// How long writing the last counters may take.
const LAST_WRITE_PATIENCE: Duration = Duration::from_secs(3);

/// How long another supervisor, or somebody who stands in for one, may still hold the lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// Supervises the workload in `dir` until it is told to end it. The error is for the supervisor's log.
pub(super) fn run(dir: PathBuf) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    // Fails only when this process leads a session already.
    let _ = rustix::process::setsid();
    std::env::set_current_dir(&dir).map_err(text)?;
    let dir = WorkloadDir::at(dir);
    let lock = control::lock(&dir.lock(), LOCK_PATIENCE).map_err(text)?;
    let lock = lock.ok_or("another supervisor lives")?;
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me)).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .map_err(text)?;
    let outcome = runtime.block_on(async {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let mut supervisor = Supervisor::open(dir, sender.clone())?;
        server::start(sender)?;
        supervisor.live(inbox).await
    });
    drop(lock);
    // A walk through the data that still runs is of no use any more.
    runtime.shutdown_background();
    outcome.map_err(text)
}

impl Supervisor {
    fn open(dir: WorkloadDir, inbox: mpsc::Sender<Message>) -> io::Result<Self> {
        let missing = |what| io::Error::other(format!("{what} is missing"));
        let intent: Intent = layout::load(&dir.intent())?.ok_or_else(|| missing("the intent"))?;
        let desired: Desired = layout::load(&dir.desired())?.ok_or_else(|| missing("the goal"))?;
        let before: Option<Status> = layout::load(&dir.status()).unwrap_or(None);
        let group = intent.cgroup.as_deref().map(Group::create).transpose()?;
        // What an earlier supervisor left running when it was killed would run twice.
        Owned::new(intent.mark.clone(), group.clone(), before.as_ref(), false).end()?;
        let known = before.map(|status| status.replicas).unwrap_or_default();
        let mut replicas = Vec::new();
        let mut logs = Vec::new();
        for (position, service) in intent.spec.services.iter().enumerate() {
            for index in 0..service.count {
                let mut replica = Replica::new(position, &service.name, index);
                let same = known
                    .iter()
                    .find(|r| r.service == service.name && r.replica == index);
                same.into_iter().for_each(|before| replica.remember(before));
                replicas.push(replica);
                let at = dir.replica_logs(&service.name, index);
                let writer = LogWriter::open(&at, intent.settings.log_bytes_max)?;
                logs.push(Arc::new(Mutex::new(ReplicaLog::new(writer))));
            }
        }
        let meter = Meter::open(&dir)?;
        let shared = proxy::Shared::new(meter.traffic(), places::connections_max());
        let closed_ports = intent
            .plans
            .iter()
            .flat_map(|plan| &plan.ports)
            .filter_map(|port| Some((port.external?, port.global)))
            .collect();
        let launcher = Launcher {
            dir: dir.clone(),
            group,
        };
        let mut accounts = Accounts::new(meter);
        accounts.open(&launcher);
        Ok(Self {
            launcher,
            accounts,
            dir,
            intent,
            desired,
            replicas,
            logs,
            captures: Vec::new(),
            beside: BTreeMap::new(),
            causes: BTreeMap::new(),
            inbox,
            shared,
            closed_ports,
            next_port_try: 0,
            problems: Vec::new(),
            born: Instant::now(),
            frozen: false,
            leaving: false,
            finished: false,
            must_last: true,
            written: None,
            me: myself(),
            complaint: String::new(),
        })
    }

    async fn live(&mut self, mut inbox: mpsc::Receiver<Message>) -> io::Result<()> {
        let mut children: Signal = signal(SignalKind::child())?;
        let mut ends: Signal = signal(SignalKind::terminate())?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.finished {
            tokio::select! {
                _ = children.recv() => {}
                _ = ends.recv() => self.leaving = true,
                Some(message) = inbox.recv() => self.hear(message),
                _ = ticks.tick() => {}
            }
            self.reap();
            self.tick(self.now());
            self.write_status();
        }
        // Everybody who writes has ended; what is still in the pipes are last words.
        for capture in std::mem::take(&mut self.captures) {
            let _ = tokio::time::timeout(LAST_WORDS_PATIENCE, capture).await;
        }
        self.close_accounts().await;
        self.must_last = true;
        self.write_status();
        let _ = std::fs::remove_file(SOCKET);
        // Questions that came meanwhile.
        while let Ok(Message::Asked { reply, .. }) = inbox.try_recv() {
            let _ = reply.send(Response::Status(self.status()));
        }
        Ok(())
    }

    /// Counts for the last time. On a full disk somebody else may make room; if nobody does, what was counted after the last
    /// checkpoint is lost: a supervisor that cannot write must not stay for ever.
    async fn close_accounts(&mut self) {
        self.accounts
            .close(&self.launcher, &self.intent.mark, &self.replicas);
        let deadline = Instant::now() + LAST_WRITE_PATIENCE;
        while let Err(error) = self.accounts.meter.checkpoint() {
            self.complain(format!("cannot keep the counters: {error}"));
            if Instant::now() > deadline {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    /// Milliseconds since the supervisor started.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Asked { request, reply } => {
                let response = self.respond(request);
                let _ = reply.send(response);
            }
            Message::Answered {
                position,
                start,
                about,
                answer,
            } => self.answered(position, start, about, answer),
            Message::Measured { occupied, took } => {
                self.accounts.measured(occupied, took, self.now());
                self.end_hoarders();
            }
        }
    }

    fn respond(&mut self, request: Request) -> Response {
        match request {
            Request::Status => {}
            Request::Apply => {
                if let Err(error) = self.read_goal() {
                    return Response::Failed(format!("cannot read the goal: {error}"));
                }
                self.tick(self.now());
            }
            Request::Usage => {
                self.look(self.now());
                return match self.accounts.meter.checkpoint() {
                    Ok(usage) => Response::Usage(usage),
                    Err(error) => Response::Failed(format!("cannot keep the counters: {error}")),
                };
            }
        }
        Response::Status(self.status())
    }

    fn read_goal(&mut self) -> io::Result<()> {
        let Some(desired) = layout::load::<Desired>(&self.dir.desired())? else {
            return Err(io::Error::other("it is missing"));
        };
        if desired == self.desired {
            return Ok(());
        }
        self.desired = desired;
        self.must_last = true;
        if desired.goal == Goal::Running {
            let now = self.now();
            self.replicas
                .iter_mut()
                .for_each(|replica| replica.try_again(now));
        }
        Ok(())
    }

    fn tick(&mut self, now: u64) {
        self.end_overdue(now);
        if self.leaving {
            self.take_down(now);
        } else {
            match self.desired.goal {
                Goal::Running => self.keep_up(now),
                Goal::Paused => self.freeze(),
                Goal::Stopped | Goal::Terminated => self.take_down(now),
            }
        }
        self.open_ports(now);
        self.point_proxies();
        if self.accounts.is_due(now) {
            // A goal that was written but never announced.
            let _ = self.read_goal();
            self.look(now);
            self.walk_data(now);
        }
    }

    /// Starts what is due and asks what is up.
    fn keep_up(&mut self, now: u64) {
        if self.frozen {
            self.thaw(now);
        }
        for position in 0..self.replicas.len() {
            let replica = &mut self.replicas[position];
            replica.forgive(&self.intent.settings, now);
            if replica.stage == Stage::Down {
                replica.stage = Stage::Waiting { until: now };
            }
            if replica.is_due(now) {
                self.start(position, now);
            } else {
                self.question(position, now);
            }
        }
    }

    /// Takes in every process below us that has ended: replicas, commands beside them, orphans.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let exit = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => continue,
            };
            let pid = pid.as_raw_nonzero().get();
            let is_main = |replica: &Replica| replica.process().is_some_and(|p| p.pid == pid);
            if let Some(position) = self.replicas.iter().position(is_main) {
                self.replica_ended(position, exit);
            } else if let Some(beside) = self.beside.remove(&pid) {
                let _ = beside.ended.send(exit);
            }
        }
    }

    fn replica_ended(&mut self, position: usize, exit: Exit) {
        // As in a container: without its main process nothing of the replica goes on.
        self.kill_replica(position);
        let now = self.now();
        let cause = self.causes.remove(&position);
        let cause = cause.or_else(|| self.killed_for_memory(position));
        let policy = self.spec_of(position).restart;
        let rules = &self.intent.settings;
        self.replicas[position].ended(exit, &cause.unwrap_or_default(), policy, rules, now);
        self.must_last = true;
    }

    pub(super) fn spec_of(&self, position: usize) -> &virtengine_provider_core::workload::ServiceSpec {
        &self.intent.spec.services[self.replicas[position].service]
    }

    pub(super) fn place(&self, position: usize) -> Place {
        Place {
            service: self.replicas[position].service,
            replica: self.replicas[position].index,
        }
    }

    fn open_ports(&mut self, now: u64) {
        if self.closed_ports.is_empty() || now < self.next_port_try {
            return;
        }
        self.next_port_try = now.saturating_add(1000);
        self.problems.clear();
        let address = self.intent.settings.bind_address;
        let (shared, problems) = (&self.shared, &mut self.problems);
        self.closed_ports.retain(|(external, counted)| {
            let opened = proxy::start(shared.clone(), address, *external, *counted);
            if let Err(error) = &opened {
                problems.push(format!("cannot listen on {address}:{external}: {error}"));
            }
            opened.is_err()
        });
    }

    fn point_proxies(&self) {
        let mut ready: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
        for replica in self.replicas.iter().filter(|r| r.is_ready() && !self.frozen) {
            let index = usize::try_from(replica.index).unwrap_or(usize::MAX);
            for port in &self.intent.plans[replica.service].ports {
                if let (Some(external), Some(internal)) = (port.external, port.internal.get(index)) {
                    ready.entry(external).or_default().push(*internal);
                }
            }
        }
        self.shared.targets.set(ready);
    }

    fn status(&self) -> Status {
        let mut replicas = Vec::new();
        for (replica, log) in self.replicas.iter().zip(&self.logs) {
            let mut status = replica.status(&self.intent.settings);
            let troubled = matches!(
                status.stage,
                StageWord::CrashLoop | StageWord::Broken | StageWord::Starting
            );
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if troubled && !status.message.is_empty() && !log.last_line().is_empty() {
                status.message = format!("{}; last line: {}", status.message, log.last_line());
            }
            replicas.push(status);
        }
        Status {
            supervisor: self.me.clone(),
            desired: self.desired,
            frozen: self.frozen,
            finished: self.finished,
            replicas,
            unmarked: self.accounts.owners.unmarked().to_vec(),
            problems: self.problems.clone(),
        }
    }

    fn write_status(&mut self) {
        let status = self.status();
        if self.written.as_ref() == Some(&status) && !self.must_last {
            return;
        }
        match layout::store(&self.dir.status(), &status, self.must_last) {
            Ok(()) => {
                self.written = Some(status);
                self.must_last = false;
            }
            // Tried again at the next tick.
            Err(error) => self.complain(format!("cannot keep the status: {error}")),
        }
    }

    /// Says what goes wrong, but not again and again: the supervisor's log is not rotated.
    pub(super) fn complain(&mut self, complaint: String) {
        if self.complaint != complaint {
            super::say(&complaint);
            self.complaint = complaint;
        }
    }
}

fn myself() -> Identity {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    process::stat(pid).map_or_else(
        || Identity {
            pid,
            started: 0,
            boot_id: process::boot_id().to_owned(),
        },
        |found| found.identity(),
    )
}

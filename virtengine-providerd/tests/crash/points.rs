//! The points: which kinds of effects there are, which stages each goes through, and the end of the process at one of them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use virtengine_providerd::provider::{Effect, Operation, Purpose};

/// Every kind of effect.
pub(crate) const KINDS: [&str; 14] = [
    "bid",
    "close_bid",
    "close_lease",
    "withdraw",
    "activate_escrow",
    "record_usage",
    "settle",
    "deploy",
    "pause",
    "resume",
    "stop",
    "terminate",
    "read_final_counters",
    "sign_record",
];

/// The kinds that are transactions, and what one of them can be recognised by.
pub(crate) const TXS: [(&str, &str); 7] = [
    ("bid", "MsgCreateBid"),
    ("close_bid", "MsgCloseBid"),
    ("close_lease", "MsgCloseBid"),
    ("withdraw", "MsgWithdrawLease"),
    ("activate_escrow", "MsgActivateEscrow"),
    ("record_usage", "MsgRecordUsage"),
    ("settle", "MsgSettleOrder"),
];

/// The kinds that are calls of the back end that change something.
const OPERATIONS: [&str; 5] = ["deploy", "pause", "resume", "stop", "terminate"];

/// The kind of an effect. A new effect, purpose or operation does not compile here until it has a kind, and a kind that is in no
/// round fails the test.
pub(crate) const fn kind(effect: &Effect) -> &'static str {
    match effect {
        Effect::SendTx { purpose, .. } => match purpose {
            Purpose::Bid { .. } => "bid",
            Purpose::CloseBid { .. } => "close_bid",
            Purpose::CloseLease { .. } => "close_lease",
            Purpose::Withdraw { .. } => "withdraw",
            Purpose::Activate { .. } => "activate_escrow",
            Purpose::RecordUsage { .. } => "record_usage",
            Purpose::Settle { .. } => "settle",
        },
        Effect::Infrastructure { operation, .. } => match operation {
            Operation::Deploy { .. } => "deploy",
            Operation::Pause => "pause",
            Operation::Resume => "resume",
            Operation::Stop => "stop",
            Operation::Terminate => "terminate",
        },
        Effect::ReadFinalCounters { .. } => "read_final_counters",
        Effect::SignRecord { .. } => "sign_record",
    }
}

/// How far an effect has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It is decided; nothing is written.
    Decided,
    /// The intent is journaled; nothing is begun.
    Journaled,
    /// A transaction is signed; the signature is not journaled.
    Signing,
    /// The signed transaction is journaled; it is not sent.
    Signed,
    /// The back end is in the middle of it.
    Calling,
    /// It is done: sent, carried out or answered; nobody has heard of it.
    Sent,
    /// What became of a transaction is known, and not journaled.
    Settled,
    /// The result is journaled; nobody has heard of it.
    Finished,
}

impl Stage {
    pub(crate) const ALL: [Self; 8] = [
        Self::Decided,
        Self::Journaled,
        Self::Signing,
        Self::Signed,
        Self::Calling,
        Self::Sent,
        Self::Settled,
        Self::Finished,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Decided => "decided",
            Self::Journaled => "journaled",
            Self::Signing => "signing",
            Self::Signed => "signed",
            Self::Calling => "calling",
            Self::Sent => "sent",
            Self::Settled => "settled",
            Self::Finished => "finished",
        }
    }

    pub(crate) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|stage| stage.name() == name).unwrap()
    }

    /// Whether effects of this kind go through the stage.
    pub(crate) fn is_of(self, kind: &str) -> bool {
        match self {
            Self::Signing | Self::Signed | Self::Settled => TXS.iter().any(|(tx, _)| *tx == kind),
            Self::Calling => OPERATIONS.contains(&kind),
            Self::Decided | Self::Journaled | Self::Sent | Self::Finished => true,
        }
    }
}

/// Ends the process at one stage, once per kind of effect over all of its lives.
#[derive(Debug)]
pub(crate) struct Points {
    stage: Stage,
    marks: PathBuf,
    reached: Mutex<BTreeSet<String>>,
}

impl Points {
    pub(crate) fn new(stage: Stage, marks: PathBuf) -> Self {
        let reached = kinds_of(&read_marks(&marks));
        Self {
            stage,
            marks,
            reached: Mutex::new(reached),
        }
    }

    /// How many effects are pending, for whoever waits for the last one.
    pub(crate) fn tell_pending(&self, count: usize) {
        std::fs::write(self.marks.with_file_name("pending"), count.to_string()).unwrap();
    }

    /// Whether the process would end here.
    pub(crate) fn is_due(&self, stage: Stage, kind: &str) -> bool {
        assert!(KINDS.contains(&kind), "{kind} is no kind of effect");
        stage == self.stage && !self.reached.lock().unwrap().contains(kind)
    }

    /// Effects of these kinds are at `stage`, all by the same write.
    pub(crate) fn reach(&self, stage: Stage, kinds: &[&str]) {
        let due: Vec<&str> = kinds
            .iter()
            .copied()
            .filter(|kind| self.is_due(stage, kind))
            .collect();
        if due.is_empty() {
            return;
        }
        let options = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.marks);
        // What is written survives the process, though not the machine.
        options
            .unwrap()
            .write_all(format!("{}\n", due.join(" ")).as_bytes())
            .unwrap();
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::KILL).unwrap();
        loop {
            std::thread::park();
        }
    }
}

/// One line per kill, with the kinds of effects that it was a point of.
pub(crate) fn read_marks(path: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The kinds of all kills.
pub(crate) fn kinds_of(marks: &[String]) -> BTreeSet<String> {
    let kinds = marks.iter().flat_map(|line| line.split(' '));
    kinds.map(str::to_owned).collect()
}

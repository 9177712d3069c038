//! Finding and ending everything that belongs to a workload, whoever its parent is now.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cgroup::Group;
use super::process::{self, Identity, Stat};

/// How to recognise what belongs to a workload.
#[derive(Debug)]
pub(crate) struct Owned<'o> {
    /// Its owner mark; the supervisor carries exactly this, everything else something below it.
    pub(crate) mark: &'o str,
    /// Its control group.
    pub(crate) group: Option<&'o Group>,
    /// Main processes of replicas that were recorded: each leads a session.
    pub(crate) leaders: &'o [Identity],
    /// Whether the supervisor itself is meant, too.
    pub(crate) supervisor: bool,
}

/// How long the kernel may take to end what was killed.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);

impl Owned<'_> {
    /// Everything that lives, the supervisor first: otherwise it would start again what is ended after it.
    fn find(&self) -> Vec<Stat> {
        let sessions: BTreeSet<i32> = self.leaders.iter().filter_map(session_of).collect();
        let mut found: BTreeMap<i32, Stat> = process::marked(self.mark, &sessions)
            .into_iter()
            .map(|stat| (stat.pid, stat))
            .collect();
        for pid in self.group.map(Group::processes).unwrap_or_default() {
            found.extend(process::stat(pid).filter(Stat::is_alive).map(|stat| (pid, stat)));
        }
        let is_supervisor = |stat: &Stat| process::mark(stat.pid).is_some_and(|mark| mark == self.mark);
        let me = std::process::id();
        let (supervisors, mut others): (Vec<_>, Vec<_>) = found
            .into_values()
            .filter(|stat| u32::try_from(stat.pid) != Ok(me))
            .partition(is_supervisor);
        if self.supervisor {
            others.splice(0..0, supervisors);
        }
        others
    }

    /// Kills everything and waits until it is gone.
    pub(crate) fn end(&self) -> io::Result<()> {
        let deadline = Instant::now() + DEATH_PATIENCE;
        loop {
            let found = self.find();
            if found.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let pids: Vec<String> = found.iter().map(|stat| stat.pid.to_string()).collect();
                let message = format!("processes do not end: {}", pids.join(", "));
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            for stat in &found {
                process::signal(&stat.identity(), Signal::KILL)?;
            }
            if let Some(group) = self.group {
                // A killed process of a frozen group only ends when it thaws.
                let _ = group.freeze(false);
                group.kill();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The session that this leader led: its number is not given to another process while the session has members, so it is
/// ours unless somebody else bears the number now.
fn session_of(leader: &Identity) -> Option<i32> {
    if leader.boot_id != process::boot_id() {
        return None;
    }
    match process::stat(leader.pid) {
        Some(stat) if stat.started != leader.started => None,
        _ => Some(leader.pid),
    }
}

//! Processes of this host as `/proc` tells them. A process is named by its number, its start time and the boot: a number
//! that was given to somebody else meanwhile is never signalled.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::OnceLock;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// Environment variable that carries the owner mark.
pub(crate) const MARK: &str = "VE_OWNER_MARK";

/// A process, unmistakably.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks since boot.
    pub(crate) started: u64,
    pub(crate) boot_id: String,
}

/// One line of the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) pid: i32,
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) session: i32,
    /// Ticks used by the process itself and by children it waited for.
    pub(crate) own_ticks: u64,
    pub(crate) children_ticks: u64,
    pub(crate) started: u64,
}

impl Stat {
    pub(crate) const fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }

    pub(crate) const fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity {
            pid: self.pid,
            started: self.started,
            boot_id: boot_id().to_owned(),
        }
    }
}

/// The identity of this start of the host; empty when the host does not say.
pub(crate) fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        text.unwrap_or_default().trim().to_owned()
    })
}

/// Milliseconds since the host started.
pub(crate) fn uptime_ms() -> u64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let Some((seconds, rest)) = text.split_once('.') else {
        return 0;
    };
    let hundredths = rest.get(..2).and_then(|digits| digits.parse().ok());
    let seconds: u64 = seconds.parse().unwrap_or(0);
    seconds
        .saturating_mul(1000)
        .saturating_add(hundredths.unwrap_or(0_u64) * 10)
}

/// Microseconds of `ticks` clock ticks.
pub(crate) fn micros_of_ticks(ticks: u64) -> u64 {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    ticks.saturating_mul(1_000_000 / per_second)
}

/// The process with this number, if there is one.
pub(crate) fn stat(pid: i32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse(line: &str) -> Option<Stat> {
    // The second field is a name in parentheses that may itself hold spaces and parentheses.
    let (before, after) = line.rsplit_once(')')?;
    let pid = before.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        own_ticks: number(11)?.saturating_add(number(12)?),
        children_ticks: number(13)?.saturating_add(number(14)?),
        started: number(19)?,
    })
}

/// Whether this very process is still there and not a zombie.
pub(crate) fn is_alive(identity: &Identity) -> bool {
    identity.boot_id == boot_id()
        && stat(identity.pid).is_some_and(|found| found.started == identity.started && found.is_alive())
}

/// Whether this very process still bears its number, dead but not waited for included.
pub(crate) fn is_there(identity: &Identity) -> bool {
    identity.boot_id == boot_id() && stat(identity.pid).is_some_and(|found| found.started == identity.started)
}

/// Sends `signal` to this very process; a process that is gone is success.
pub(crate) fn signal(identity: &Identity, signal: Signal) -> io::Result<()> {
    signal_if(identity, signal, || true)
}

/// Sends `signal` to this very process if `is_ours` says so; a process that is gone, or is not ours, is success.
pub(crate) fn signal_if(
    identity: &Identity,
    signal: Signal,
    is_ours: impl FnOnce() -> bool,
) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(identity.pid) else {
        return Ok(());
    };
    // From here on the signal goes to this process or to nobody, whoever gets its number meanwhile.
    let handle = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    // Should the number change hands between these questions, the process behind the handle has ended: nobody is hit.
    if !is_alive(identity) || !is_ours() {
        return Ok(());
    }
    match pidfd_send_signal(&handle, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Every process of the host that we may look at.
pub(crate) fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(stat)
        .collect()
}

/// Everything below `root`, zombies included, `root` not; parents come before their children.
pub(crate) fn descendants(root: i32) -> Vec<Stat> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([root]);
    let mut pending = vec![root];
    while let Some(pid) = pending.pop() {
        for child in children(pid) {
            // A number that was listed and then given to a stranger has another parent. What has just lost its parent and
            // found another one below us is seen with the next look.
            let ours = |stat: &Stat| seen.contains(&stat.parent);
            if let Some(stat) = stat(child).filter(ours)
                && seen.insert(child)
            {
                found.push(stat);
                pending.push(child);
            }
        }
    }
    found
}

fn children(pid: i32) -> Vec<i32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for task in tasks.flatten() {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(
            text.split_ascii_whitespace()
                .filter_map(|pid| pid.parse::<i32>().ok()),
        );
    }
    found
}

/// The owner mark of a process: what it was started with, as long as it did not wipe its environment.
pub(crate) fn mark(pid: i32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = [MARK.as_bytes(), b"="].concat();
    let entry = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(prefix.as_slice()))?;
    Some(String::from_utf8_lossy(entry).into_owned())
}

/// Whether `mark` is `owner` or something below it.
pub(crate) fn is_marked_by(mark: &str, owner: &str) -> bool {
    mark.strip_prefix(owner)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Memory of a process in bytes, shared pages divided among those that share them; what is resident when that is not told.
pub(crate) fn memory_bytes(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    if let Some(kib) = kib_field(&rollup, "Pss:") {
        return kib.saturating_mul(1024);
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kib_field(&status, "VmRSS:").unwrap_or(0).saturating_mul(1024)
}

/// The number in a line like `name   123 kB`.
pub(crate) fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn me() -> i32 {
        rustix::process::getpid().as_raw_nonzero().get()
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let line = "12 (a) b (c)) S 7 12 9 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5555 1 2 3";
        let found = parse(line).unwrap();
        assert_eq!((found.pid, found.parent, found.session), (12, 7, 9));
        assert_eq!(
            (found.own_ticks, found.children_ticks, found.started),
            (120, 7, 5555)
        );
    }

    #[test]
    fn a_recycled_number_is_never_signalled() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let right = stat(child.id().try_into().unwrap()).unwrap().identity();
        let other_start = Identity {
            started: right.started + 1,
            ..right.clone()
        };
        let other_boot = Identity {
            boot_id: "another boot".to_owned(),
            ..right.clone()
        };
        for wrong in [other_start, other_boot] {
            assert!(!is_alive(&wrong));
            signal(&wrong, Signal::KILL).unwrap();
            assert!(is_alive(&right));
        }
        signal(&right, Signal::KILL).unwrap();
        child.wait().unwrap();
        assert!(!is_alive(&right));
        signal(&right, Signal::KILL).unwrap();
    }

    #[test]
    fn a_child_is_found_with_its_mark() {
        let owner = format!("test-{}/w", me());
        let mut child = std::process::Command::new("sleep")
            .arg("30")
            .env(MARK, format!("{owner}/web/0"))
            .spawn()
            .unwrap();
        let pid: i32 = child.id().try_into().unwrap();
        // While it becomes its program it has no environment.
        let found = (0..500).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            mark(pid)
        });
        let below = descendants(me());
        child.kill().unwrap();
        child.wait().unwrap();
        let found = found.unwrap();
        assert!(is_marked_by(&found, &owner) && !is_marked_by(&found, &format!("{owner}x")));
        assert!(below.iter().any(|found| found.pid == pid && found.parent == me()));
    }

    #[test]
    fn what_is_not_ours_is_not_signalled() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let identity = stat(child.id().try_into().unwrap()).unwrap().identity();
        signal_if(&identity, Signal::KILL, || false).unwrap();
        assert!(is_alive(&identity));
        signal_if(&identity, Signal::KILL, || true).unwrap();
        child.wait().unwrap();
        assert!(!is_there(&identity));
    }
}

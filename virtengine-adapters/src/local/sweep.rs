//! Finding and ending everything that belongs to a workload, whoever its parent is now.
//!
//! A process is signalled only when it is named by number, start time and boot, is pinned by a handle, and there is proof that
//! it is ours. Proof is one of: our mark in its environment, which processes inherit and may wipe; its control
//! group; its session, as long as the leader that we recorded still bears the session's number; or that a supervisor has seen this
//! very process below itself and written it down. A bare number, of a process or of a session, proves nothing: numbers are given
//! to others.

use std::collections::BTreeSet;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::cgroup::Group;
use super::process::{self, Identity, Stat};
use super::record::Status;

/// How to recognise what belongs to a workload.
#[derive(Debug)]
pub(crate) struct Owned {
    /// Its owner mark; the supervisor carries exactly this, everything else something below it.
    mark: String,
    /// Its control group.
    group: Option<Group>,
    /// Main processes of replicas that were recorded: each leads a session.
    leaders: Vec<Identity>,
    /// Processes without a mark that a supervisor saw below itself.
    unmarked: Vec<Identity>,
    /// Whether the supervisor itself is meant, too.
    supervisor: bool,
}

/// How long the kernel may take to end what was killed.
const DEATH_PATIENCE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(10);

impl Owned {
    /// What carries `mark`, is in `group`, or is in `status`, which a supervisor left; the supervisor itself if `supervisor`.
    pub(crate) fn new(mark: String, group: Option<Group>, status: Option<&Status>, supervisor: bool) -> Self {
        Self {
            mark,
            group,
            leaders: status.into_iter().flat_map(Status::leaders).cloned().collect(),
            unmarked: status.map(|status| status.unmarked.clone()).unwrap_or_default(),
            supervisor,
        }
    }

    /// Everything that lives, the supervisor first: otherwise it would start again what is ended after it.
    fn find(&self) -> Vec<Stat> {
        let me = std::process::id();
        let mut alive = process::all();
        alive.retain(|stat| stat.is_alive() && u32::try_from(stat.pid) != Ok(me));
        // All proof is younger than the line of the process table that it is about: who is still that process when it is
        // signalled bore its number when the proof was taken.
        let processes = self.group.as_ref().map(Group::processes).unwrap_or_default();
        let group: BTreeSet<i32> = processes.into_iter().collect();
        alive.retain(|stat| group.contains(&stat.pid) || self.is_ours(stat));
        let (supervisors, mut others): (Vec<_>, Vec<_>) =
            alive.into_iter().partition(|stat| self.is_supervisor(stat.pid));
        if self.supervisor {
            others.splice(0..0, supervisors);
        }
        others
    }

    /// Whether there is proof, beside its control group, that this process is ours.
    fn is_ours(&self, stat: &Stat) -> bool {
        let identity = stat.identity();
        self.is_marked(stat.pid)
            || self.leaders.contains(&identity)
            || self.unmarked.contains(&identity)
            || self.is_led(stat)
    }

    fn is_marked(&self, pid: i32) -> bool {
        process::mark(pid).is_some_and(|mark| process::is_marked_by(&mark, &self.mark))
    }

    fn is_supervisor(&self, pid: i32) -> bool {
        process::mark(pid).is_some_and(|mark| mark == self.mark)
    }

    /// Whether it is in the session of a recorded leader. That leader bears its number still, so nobody else ever led a session
    /// of that number meanwhile.
    fn is_led(&self, stat: &Stat) -> bool {
        let mut leaders = self.leaders.iter().filter(|leader| leader.pid == stat.session);
        leaders.any(process::is_there)
    }

    /// Asks the supervisor to take everything down and leave; whether there was one to ask.
    pub(crate) fn dismiss(&self) -> bool {
        let supervisors: Vec<Stat> = process::all()
            .into_iter()
            .filter(|stat| stat.is_alive() && self.is_supervisor(stat.pid))
            .collect();
        let ask = |stat: &Stat| {
            process::signal_if(&stat.identity(), Signal::TERM, || self.is_supervisor(stat.pid)).is_ok()
        };
        supervisors.iter().filter(|stat| ask(stat)).count() > 0
    }

    /// Kills everything and waits until it is gone.
    pub(crate) fn end(&self) -> io::Result<()> {
        let deadline = Instant::now() + DEATH_PATIENCE;
        // One look may miss what was just being born, or was becoming another program.
        let mut looks_without = 0;
        while looks_without < 2 {
            let found = self.find();
            let is_leader = |stat: &Stat| self.leaders.contains(&stat.identity());
            let only_leaders = found.iter().all(is_leader);
            let mut refused = Ok(());
            for stat in &found {
                // A leader is the proof for its session: held until there is nobody left in it, then ended.
                let is_held = is_leader(stat) && !only_leaders;
                let signal = if is_held { Signal::STOP } else { Signal::KILL };
                // The proof was about this very process, so its name is enough now.
                let signalled = process::signal(&stat.identity(), signal);
                refused = refused.and(signalled);
            }
            if Instant::now() > deadline && !found.is_empty() {
                let pids: Vec<String> = found.iter().map(|stat| stat.pid.to_string()).collect();
                let why = refused.err().map_or(String::new(), |error| format!(" ({error})"));
                let message = format!("processes do not end: {}{why}", pids.join(", "));
                return Err(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            if found.is_empty() {
                looks_without += 1;
            } else {
                looks_without = 0;
                if let Some(group) = &self.group {
                    // A killed process of a frozen group only ends when it thaws.
                    let _ = group.freeze(false);
                    group.kill();
                }
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A shell that leads a session of its own and says the number of a `sleep` in it.
    fn session(script: &str) -> (Child, i32) {
        let mut shell = Command::new("setsid")
            .args(["sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        (shell, line.trim().parse().unwrap())
    }

    fn owned(leaders: &[Identity], unmarked: &[Identity]) -> Owned {
        Owned {
            mark: "test-sweep/nobody".to_owned(),
            group: None,
            leaders: leaders.to_vec(),
            unmarked: unmarked.to_vec(),
            supervisor: true,
        }
    }

    /// `sleep` in a session whose leader has ended.
    fn orphan() -> Stat {
        let (mut shell, pid) = session("sleep 1000 >&- & echo $!");
        shell.wait().unwrap();
        let found = process::stat(pid).unwrap();
        assert_eq!(
            (Ok(found.session), process::stat(found.session)),
            (shell.id().try_into(), None)
        );
        found
    }

    fn end(stat: &Stat) {
        process::signal(&stat.identity(), Signal::KILL).unwrap();
    }

    #[test]
    fn a_stranger_in_a_session_whose_number_was_ours_is_spared() {
        let stranger = orphan();
        // Ours was once the leader of a session of that number.
        let leader = Identity {
            pid: stranger.session,
            started: 1,
            boot_id: process::boot_id().to_owned(),
        };
        owned(&[leader], &[]).end().unwrap();
        let spared = process::is_alive(&stranger.identity());
        end(&stranger);
        assert!(spared);
    }

    #[test]
    fn a_stranger_that_was_given_a_recorded_number_is_spared() {
        let stranger = orphan();
        let mut recorded = stranger.identity();
        recorded.started -= 1;
        let records = [recorded];
        owned(&records, &records).end().unwrap();
        let spared = process::is_alive(&stranger.identity());
        end(&stranger);
        assert!(spared);
    }

    #[test]
    fn what_a_supervisor_saw_below_itself_is_ended() {
        let left = orphan();
        let seen = [left.identity()];
        owned(&[], &seen).end().unwrap();
        assert!(!process::is_alive(&left.identity()));
    }

    #[test]
    fn a_session_is_ours_while_its_leader_lives() {
        let (mut shell, pid) = session("sleep 1000 >&- & echo $!; exec sleep 1000 >&-");
        let member = process::stat(pid).unwrap();
        let leader = process::stat(member.session).unwrap().identity();
        let leaders = [leader];
        owned(&leaders, &[]).end().unwrap();
        let left = process::is_alive(&member.identity());
        end(&member);
        assert!(!left && !process::is_alive(&leaders[0]));
        shell.wait().unwrap();
    }
}

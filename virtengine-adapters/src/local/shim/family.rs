//! The processes below the supervisor: whose they are, and what CPU they used. For hosts without control groups, and for what
//! left its group.

use std::collections::BTreeMap;

use super::super::process::{Identity, Stat};
use super::replica::Replica;

/// A process: number and start time.
type Key = (i32, u64);

const fn key(stat: &Stat) -> Key {
    (stat.pid, stat.started)
}

/// Whose each process is.
#[derive(Debug, Default)]
pub(super) struct Owners {
    /// By position of the replica; only what lives.
    known: BTreeMap<Key, usize>,
    /// Processes without a mark, whoever owns them.
    unmarked: Vec<Identity>,
}

/// Processes without a mark that are written down; the rest is not.
const UNMARKED_MAX: usize = 1024;

/// What can be asked about a process beside its line in the process table.
pub(super) struct Evidence<'e> {
    /// The replica whose control group it is in.
    pub(super) grouped: &'e BTreeMap<i32, usize>,
    /// The mark in its environment.
    pub(super) mark: &'e dyn Fn(i32) -> Option<String>,
    /// The mark of the workload.
    pub(super) workload: &'e str,
}

impl Owners {
    /// Looks at everything below us, parents first. Once known an owner stays: what the process does to its environment, its
    /// session or its parents later changes nothing.
    pub(super) fn look(&mut self, family: &[Stat], replicas: &[Replica], evidence: &Evidence<'_>) {
        let mut now: BTreeMap<Key, usize> = BTreeMap::new();
        let mut by_pid: BTreeMap<i32, usize> = BTreeMap::new();
        self.unmarked.clear();
        for stat in family.iter().filter(|stat| stat.is_alive()) {
            let mark = (evidence.mark)(stat.pid);
            let mark = mark
                .as_deref()
                .and_then(|mark| mark.strip_prefix(evidence.workload));
            if mark.is_none() && self.unmarked.len() < UNMARKED_MAX {
                self.unmarked.push(stat.identity());
            }
            let leads = |pid: i32| {
                let is_main = |replica: &Replica| replica.process().is_some_and(|main| main.pid == pid);
                replicas.iter().position(is_main)
            };
            // What the kernel says counts before what the process says about itself.
            let owner = self
                .known
                .get(&key(stat))
                .copied()
                .or_else(|| evidence.grouped.get(&stat.pid).copied())
                .or_else(|| leads(stat.pid).or_else(|| leads(stat.session)))
                .or_else(|| by_pid.get(&stat.parent).copied())
                .or_else(|| named_by(mark?, replicas))
                // With one replica there is nobody else.
                .or_else(|| (replicas.len() == 1).then_some(0));
            if let Some(owner) = owner {
                now.insert(key(stat), owner);
                by_pid.insert(stat.pid, owner);
            }
        }
        self.known = now;
    }

    /// The position of the replica that a process belongs to.
    pub(super) fn of(&self, stat: &Stat) -> Option<usize> {
        self.known.get(&key(stat)).copied()
    }

    pub(super) fn unmarked(&self) -> &[Identity] {
        &self.unmarked
    }
}

/// `rest` is what follows the workload's mark: `/<service>/<replica>`.
fn named_by(rest: &str, replicas: &[Replica]) -> Option<usize> {
    let (service, index) = rest.strip_prefix('/')?.split_once('/')?;
    let index: u32 = index.parse().ok()?;
    replicas
        .iter()
        .position(|replica| replica.index == index && replica.name == service)
}

/// CPU of everything below us, in clock ticks: of the living by themselves, of the dead through those who waited for them.
#[derive(Debug, Default)]
pub(super) struct FamilyCpu {
    /// Own ticks and those of waited-for children, as read last.
    seen: BTreeMap<Key, (u64, u64)>,
    /// Ticks of children that we waited for.
    waited: u64,
    /// Ticks of processes that had gone at the last look, while whoever waited for them had been read just before.
    owed: u64,
}

impl FamilyCpu {
    /// Ticks since the last look. `family` is everything below us, parents before their children; `waited` is what our own
    /// children used that we have waited for; `find` looks for a process by number.
    ///
    /// A child that somebody waited for moves, with what it used, into that one's count: what we saw of it while it lived is taken
    /// off there. Nobody has to wait, and then it stays what we saw. So nothing is counted twice, and nothing that was seen is
    /// lost.
    pub(super) fn grown(&mut self, family: &[Stat], waited: u64, find: impl Fn(i32) -> Option<Stat>) -> u64 {
        let mut now: BTreeMap<Key, (u64, u64)> = BTreeMap::new();
        let read = |stat: &Stat| (stat.own_ticks, stat.children_ticks);
        now.extend(family.iter().map(|stat| (key(stat), read(stat))));
        let mut gone = 0_u64;
        for (known, (own, children)) in &self.seen {
            if now.contains_key(known) {
                continue;
            }
            // It changed its parent while we looked, or it is gone.
            match find(known.0).filter(|stat| key(stat) == *known) {
                Some(stat) => drop(now.insert(*known, read(&stat))),
                None => gone = gone.saturating_add(*own).saturating_add(*children),
            }
        }
        let mut own_grown = 0_u64;
        let mut children_grown = waited.saturating_sub(self.waited);
        for (known, (own, children)) in &now {
            let (own_before, children_before) = self.seen.get(known).copied().unwrap_or((0, 0));
            own_grown = own_grown.saturating_add(own.saturating_sub(own_before));
            children_grown = children_grown.saturating_add(children.saturating_sub(children_before));
        }
        let expected = gone.saturating_add(self.owed);
        self.owed = gone.min(expected.saturating_sub(children_grown));
        (self.seen, self.waited) = (now, waited.max(self.waited));
        own_grown.saturating_add(children_grown.saturating_sub(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, own: u64, children: u64) -> Stat {
        Stat {
            pid,
            state: b'S',
            parent,
            session: pid,
            own_ticks: own,
            children_ticks: children,
            started: 7,
        }
    }

    fn nobody(_: i32) -> Option<Stat> {
        None
    }

    #[test]
    fn a_child_that_was_waited_for_is_counted_once() {
        let mut cpu = FamilyCpu::default();
        assert_eq!(
            cpu.grown(&[process(2, 1, 5, 0), process(3, 2, 100, 0)], 0, nobody),
            105
        );
        // It used 20 more before it ended.
        assert_eq!(cpu.grown(&[process(2, 1, 6, 120)], 0, nobody), 21);
        // And the parent ends, too.
        assert_eq!(cpu.grown(&[], 130, nobody), 4);
        assert_eq!(cpu.grown(&[], 130, nobody), 0);
    }

    #[test]
    fn a_child_that_nobody_waits_for_is_not_lost_and_hides_nothing() {
        let mut cpu = FamilyCpu::default();
        assert_eq!(
            cpu.grown(&[process(2, 1, 0, 0), process(3, 2, 1000, 0)], 0, nobody),
            1000
        );
        // The kernel took it away: its parent ignores the ends of its children.
        assert_eq!(cpu.grown(&[process(2, 1, 50, 0)], 0, nobody), 50);
        assert_eq!(cpu.grown(&[process(2, 1, 80, 0)], 0, nobody), 30);
        assert_eq!(cpu.grown(&[process(2, 1, 80, 9)], 0, nobody), 9);
    }

    #[test]
    fn a_child_that_ends_while_we_look_is_counted_once() {
        let mut cpu = FamilyCpu::default();
        cpu.grown(&[process(2, 1, 0, 0), process(3, 2, 100, 0)], 0, nobody);
        // The parent was read before it waited, the child was not there any more after it.
        assert_eq!(cpu.grown(&[process(2, 1, 0, 0)], 0, nobody), 0);
        assert_eq!(cpu.grown(&[process(2, 1, 0, 110)], 0, nobody), 10);
    }

    #[test]
    fn a_process_that_the_walk_missed_is_not_counted_again() {
        let mut cpu = FamilyCpu::default();
        let moved = process(3, 2, 100, 0);
        cpu.grown(&[process(2, 1, 0, 0), moved], 0, nobody);
        let find = |pid| {
            (pid == 3).then_some(Stat {
                own_ticks: 104,
                ..moved
            })
        };
        assert_eq!(cpu.grown(&[process(2, 1, 0, 0)], 0, find), 4);
        assert_eq!(
            cpu.grown(
                &[
                    process(2, 1, 0, 0),
                    Stat {
                        own_ticks: 105,
                        parent: 1,
                        ..moved
                    }
                ],
                0,
                nobody
            ),
            1
        );
        // A stranger with its number is not it.
        let stranger = |_| Some(Stat { started: 8, ..moved });
        assert_eq!(cpu.grown(&[process(2, 1, 0, 0)], 105, stranger), 0);
    }

    fn replica(name: &str, index: u32, pid: i32) -> Replica {
        let mut replica = Replica::new(0, name, index);
        let main = Identity {
            pid,
            started: 7,
            boot_id: String::new(),
        };
        replica.started(main, 0, 0, false);
        replica
    }

    fn look(owners: &mut Owners, family: &[Stat], replicas: &[Replica], marks: &[(i32, &str)]) {
        let mark = |pid| {
            marks
                .iter()
                .find(|(of, _)| *of == pid)
                .map(|(_, mark)| (*mark).to_owned())
        };
        let grouped = BTreeMap::from([(50, 1)]);
        let evidence = Evidence {
            grouped: &grouped,
            mark: &mark,
            workload: "id/w",
        };
        owners.look(family, replicas, &evidence);
    }

    #[test]
    fn a_process_belongs_to_its_group_its_session_its_parent_and_last_to_its_mark() {
        let replicas = [replica("a", 0, 10), replica("a", 1, 20)];
        let mut owners = Owners::default();
        let inside = Stat {
            session: 20,
            ..process(21, 1, 0, 0)
        };
        let family = [
            process(10, 1, 0, 0),
            process(20, 1, 0, 0),
            process(11, 10, 0, 0),
            process(12, 11, 0, 0),
            inside,
            process(30, 1, 0, 0),
            process(40, 1, 0, 0),
            process(50, 1, 0, 0),
        ];
        // The child of the first replica says that it is of the second.
        let marks = [
            (10, "id/w/a/0"),
            (20, "id/w/a/1"),
            (11, "id/w/a/1"),
            (30, "id/w/a/1"),
            (40, "id/x/a/1"),
        ];
        look(&mut owners, &family, &replicas, &marks);
        let of: Vec<_> = family.iter().map(|stat| owners.of(stat)).collect();
        assert_eq!(
            of,
            [
                Some(0),
                Some(1),
                Some(0),
                Some(0),
                Some(1),
                Some(1),
                None,
                Some(1)
            ]
        );
        let unmarked: Vec<i32> = owners.unmarked().iter().map(|one| one.pid).collect();
        assert_eq!(unmarked, [12, 21, 40, 50]);
    }

    #[test]
    fn an_owner_stays_when_the_mark_and_the_parent_are_gone() {
        let replicas = [replica("a", 0, 10), replica("a", 1, 20)];
        let mut owners = Owners::default();
        let left = process(11, 10, 0, 0);
        look(&mut owners, &[process(10, 1, 0, 0), left], &replicas, &[]);
        let moved = Stat { parent: 1, ..left };
        look(&mut owners, &[moved], &replicas, &[]);
        assert_eq!(owners.of(&moved), Some(0));
        let stranger = Stat { started: 8, ..moved };
        look(&mut owners, &[stranger], &replicas, &[]);
        assert_eq!(owners.of(&stranger), None);
    }

    #[test]
    fn what_nobody_owns_is_the_only_replicas() {
        let mut owners = Owners::default();
        let left = process(30, 1, 0, 0);
        look(&mut owners, &[left], &[replica("a", 0, 10)], &[]);
        assert_eq!(owners.of(&left), Some(0));
    }
}

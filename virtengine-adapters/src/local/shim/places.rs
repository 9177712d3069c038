//! Who may be connected at the same time. When all places are taken, a newcomer gets the place of somebody who does not use it:
//! nobody keeps the others out by being there.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Connections of a workload at the same time.
const CONNECTIONS_MAX: u64 = 1024;

/// Connections that were accepted and wait for a place at the same time; more wait to be accepted.
const WAITING_MAX: usize = 64;

/// How long a connection waits for a place.
const WAITING_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks whether somebody's place can be had.
const WAITING_POLL: Duration = Duration::from_millis(200);

/// How long somebody must have been silent before another one from the same address may have his place.
const SILENCE: Duration = Duration::from_secs(1);

/// How long a connection may be silent although nobody wants its place.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// Files that the supervisor holds beside connections: sockets, logs, pipes, what it reads in `/proc`.
const OTHER_FILES: u64 = 192;

/// Takes as many files as the host gives us, within reason, and says how many connections they are enough for. Each is two.
pub(super) fn connections_max() -> usize {
    let wanted = CONNECTIONS_MAX * 2 + OTHER_FILES + u64::try_from(WAITING_MAX).unwrap_or(0);
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let files = match limit.current {
        Some(before) if before < current => {
            let raised = Rlimit {
                current: Some(current),
                ..limit
            };
            setrlimit(Resource::Nofile, raised).map_or(before, |()| current)
        }
        _ => limit.current.unwrap_or(wanted),
    };
    usize::try_from(connections_of(files)).unwrap_or(1)
}

fn connections_of(files: u64) -> u64 {
    let others = OTHER_FILES + u64::try_from(WAITING_MAX).unwrap_or(0);
    // With very few files half of them: something has to get through.
    let ours = files.saturating_sub(others).max(files / 2);
    (ours / 2).clamp(1, CONNECTIONS_MAX)
}

/// All places of a workload.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    born: Instant,
    table: Mutex<Table>,
    freed: Notify,
    waiting: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    peer: IpAddr,
    pulse: Arc<Pulse>,
}

/// When a connection was heard last, and whether it must go.
#[derive(Debug)]
pub(super) struct Pulse {
    born: Instant,
    heard_ms: AtomicU64,
    bytes: AtomicU64,
    end: Notify,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    pub(super) pulse: Arc<Pulse>,
}

impl Pulse {
    /// So many bytes went through.
    pub(super) fn beat(&self, bytes: u64) {
        self.heard_ms
            .store(millis(self.born.elapsed()), Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(heard)
    }

    /// Returns when the connection must go: somebody else has its place, or it was silent for too long.
    pub(super) async fn ended(&self) {
        loop {
            let left = IDLE_MAX.saturating_sub(self.silent_for());
            if left.is_zero() || tokio::time::timeout(left, self.end.notified()).await.is_ok() {
                return;
            }
        }
    }
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            born: Instant::now(),
            table: Mutex::default(),
            freed: Notify::new(),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        })
    }

    /// Room for one more connection to wait in, to be held until it has its place.
    pub(super) async fn room(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).acquire_owned().await.ok()
    }

    /// A place for somebody from `peer`; `None` when there is none for too long.
    pub(super) async fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let deadline = Instant::now() + WAITING_PATIENCE;
        loop {
            if let Some(place) = self.try_enter(peer) {
                return Some(place);
            }
            if Instant::now() > deadline {
                return None;
            }
            let _ = tokio::time::timeout(WAITING_POLL, self.freed.notified()).await;
        }
    }

    fn try_enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = neighbourhood(peer);
        let mut table = self.lock();
        if table.taken.len() >= self.most {
            let number = table.who_must_go(peer)?;
            let gone = table.taken.remove(&number);
            gone.into_iter().for_each(|gone| gone.pulse.end.notify_one());
        }
        table.last = table.last.wrapping_add(1);
        let number = table.last;
        let pulse = Arc::new(Pulse {
            born: self.born,
            heard_ms: AtomicU64::new(millis(self.born.elapsed())),
            bytes: AtomicU64::new(0),
            end: Notify::new(),
        });
        let taken = Taken {
            peer,
            pulse: Arc::clone(&pulse),
        };
        table.taken.insert(number, taken);
        drop(table);
        Some(Place {
            places: Arc::clone(self),
            number,
            pulse,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // The table is whole after every single change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Of the address with the most connections, the one that never said anything, else the one that was silent longest. An address
    /// that has as many as any other must wait until one of its own has been silent for a while.
    fn who_must_go(&self, newcomer: IpAddr) -> Option<u64> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for taken in self.taken.values() {
            *counts.entry(taken.peer).or_default() += 1;
        }
        let most = counts.values().copied().max()?;
        let of_newcomer = counts.get(&newcomer).copied().unwrap_or(0);
        let is_fair = of_newcomer.saturating_add(1) < most;
        self.taken
            .iter()
            .filter(|(_, taken)| counts.get(&taken.peer) == Some(&most))
            .filter(|(_, taken)| is_fair || taken.pulse.silent_for() >= SILENCE)
            .min_by_key(|(_, taken)| {
                let has_spoken = taken.pulse.bytes.load(Ordering::Relaxed) > 0;
                (has_spoken, taken.pulse.heard_ms.load(Ordering::Relaxed))
            })
            .map(|(number, _)| *number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().taken.remove(&self.number);
        self.places.freed.notify_one();
    }
}

/// Whoever has one address of version 6 has all that share its first 64 bits.
fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address @ IpAddr::V4(_) => address,
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_ended(place: &Place) -> bool {
        !place.places.lock().taken.contains_key(&place.number)
    }

    #[tokio::test]
    async fn another_address_takes_the_place_of_one_that_has_many() {
        let places = Places::new(4);
        let crowd: Vec<Place> = (0..3).map(|_| places.try_enter(peer(1)).unwrap()).collect();
        let single = places.try_enter(peer(2)).unwrap();
        // All talk, the single one was silent longest: the crowd pays nevertheless.
        crowd.iter().for_each(|place| place.pulse.beat(9));
        let third = places.try_enter(peer(3)).unwrap();
        assert!(!is_ended(&single) && !is_ended(&third));
        let gone: Vec<&Place> = crowd.iter().filter(|place| is_ended(place)).collect();
        assert_eq!(gone.len(), 1);
        tokio::time::timeout(Duration::from_secs(5), gone[0].pulse.ended())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn from_the_same_address_only_the_silent_make_room_and_the_mute_first() {
        let places = Places::new(2);
        let mute = places.try_enter(peer(1)).unwrap();
        let talker = places.try_enter(peer(1)).unwrap();
        talker.pulse.beat(5);
        assert!(
            places.try_enter(peer(1)).is_none(),
            "nobody has been silent for long"
        );
        let newcomer = places.enter(peer(1)).await.unwrap();
        assert!(is_ended(&mute) && !is_ended(&talker));
        drop(newcomer);
        assert!(
            places.try_enter(peer(1)).is_some(),
            "a place that is left is free"
        );
    }

    #[tokio::test]
    async fn a_mute_that_came_after_a_talker_goes_before_it() {
        let places = Places::new(2);
        let talker = places.try_enter(peer(1)).unwrap();
        talker.pulse.beat(5);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mute = places.try_enter(peer(1)).unwrap();
        tokio::time::sleep(SILENCE).await;
        let _newcomer = places.try_enter(peer(1)).unwrap();
        assert!(is_ended(&mute) && !is_ended(&talker));
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_that_is_left() {
        let places = Places::new(1);
        let busy = places.try_enter(peer(1)).unwrap();
        let keep_busy = async {
            for _ in 0..5 {
                busy.pulse.beat(1);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            drop(busy);
        };
        let (entered, ()) = tokio::join!(places.enter(peer(1)), keep_busy);
        assert!(entered.is_some_and(|place| !is_ended(&place)));
    }

    #[tokio::test]
    async fn those_who_wait_are_bounded() {
        let places = Places::new(1);
        let mut rooms = Vec::new();
        for _ in 0..WAITING_MAX {
            rooms.push(places.room().await.unwrap());
        }
        let more = tokio::time::timeout(Duration::from_millis(50), places.room());
        assert!(more.await.is_err());
        rooms.pop();
        assert!(places.room().await.is_some());
    }

    #[test]
    fn there_are_never_more_places_than_files() {
        for files in [16, 64, 256, 1024, 4096, 1 << 20] {
            let most = connections_of(files);
            assert!(
                most >= 1 && most * 2 <= files && most <= CONNECTIONS_MAX,
                "{files}: {most}"
            );
        }
        assert_eq!(connections_of(1024), (1024 - 192 - 64) / 2);
    }

    #[test]
    fn addresses_that_one_person_can_have_count_as_one() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), peer(1));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}

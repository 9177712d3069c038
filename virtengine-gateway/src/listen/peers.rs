use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Peers that are remembered at once. One more evicts nobody who is active: it shares the budget of [`OVERFLOW`].
const PEERS_MAX: usize = 10_000;

/// Stands for all peers that found no room.
const OVERFLOW: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// How many requests, connections and uploads each network address has. An IPv6 peer is its /64: that is what one subscriber holds.
#[derive(Debug)]
pub(crate) struct PeerTable {
    requests_per_minute: u32,
    connections_max: u32,
    uploads_max: u32,
    peers: Mutex<Peers>,
}

#[derive(Debug)]
struct Peers {
    budgets: BTreeMap<IpAddr, Budget>,
    /// When those that are gone were last forgotten: looking for them costs time, and many strangers must not buy it often.
    tidied_at: Option<Instant>,
}

/// How long a peer without connections is remembered, and how often the others are forgotten.
const MEMORY: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Budget {
    /// Requests that may still be made, in thousandths.
    milli_tokens: u64,
    refilled_at: Instant,
    connections: u32,
    uploads: u32,
}

/// One connection of a peer; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    table: Arc<PeerTable>,
    peer: IpAddr,
}

/// One upload of a peer; gives it back when dropped.
#[derive(Debug)]
pub(crate) struct Upload {
    table: Arc<PeerTable>,
    peer: IpAddr,
}

impl PeerTable {
    /// Each peer may make `requests_per_minute` (and that many at once, after a pause), over at most `connections_max`
    /// connections, `uploads_max` of them uploads.
    pub(crate) fn new(requests_per_minute: u32, connections_max: u32, uploads_max: u32) -> Self {
        Self {
            requests_per_minute,
            connections_max,
            uploads_max,
            peers: Mutex::new(Peers {
                budgets: BTreeMap::new(),
                tidied_at: None,
            }),
        }
    }

    /// One more connection of this peer, or `None` when it has too many.
    pub(crate) fn connect(self: &Arc<Self>, peer: IpAddr) -> Option<Connection> {
        self.with_budget(peer, |budget| {
            let allowed = budget.connections < self.connections_max;
            budget.connections += u32::from(allowed);
            allowed
        })
        .map(|peer| Connection {
            table: self.clone(),
            peer,
        })
    }

    /// One more upload of this peer, or `None` when it has too many.
    pub(crate) fn upload(self: &Arc<Self>, peer: IpAddr) -> Option<Upload> {
        self.with_budget(peer, |budget| {
            let allowed = budget.uploads < self.uploads_max;
            budget.uploads += u32::from(allowed);
            allowed
        })
        .map(|peer| Upload {
            table: self.clone(),
            peer,
        })
    }

    /// Whether this peer may make one more request now.
    pub(crate) fn request(&self, peer: IpAddr) -> bool {
        self.with_budget(peer, |budget| {
            let allowed = budget.milli_tokens >= 1000;
            budget.milli_tokens -= if allowed { 1000 } else { 0 };
            allowed
        })
        .is_some()
    }

    fn with_budget(&self, peer: IpAddr, take: impl FnOnce(&mut Budget) -> bool) -> Option<IpAddr> {
        let now = Instant::now();
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = subscriber(peer);
        if !peers.budgets.contains_key(&key) && peers.budgets.len() >= PEERS_MAX {
            peers.tidy(now);
            if peers.budgets.len() >= PEERS_MAX {
                key = OVERFLOW;
            }
        }
        let full = u64::from(self.requests_per_minute) * 1000;
        let budget = peers.budgets.entry(key).or_insert_with(|| Budget {
            milli_tokens: full,
            refilled_at: now,
            connections: 0,
            uploads: 0,
        });
        let elapsed = u64::try_from(now.duration_since(budget.refilled_at).as_millis()).unwrap_or(u64::MAX);
        let refill = elapsed.saturating_mul(u64::from(self.requests_per_minute)) / 60;
        if refill > 0 {
            budget.milli_tokens = budget.milli_tokens.saturating_add(refill).min(full);
            budget.refilled_at = now;
        }
        take(budget).then_some(key)
    }
}

impl Peers {
    fn tidy(&mut self, now: Instant) {
        if self
            .tidied_at
            .is_some_and(|last| now.duration_since(last) < MEMORY)
        {
            return;
        }
        self.tidied_at = Some(now);
        self.budgets.retain(|_, budget| {
            let busy = budget.connections > 0 || budget.uploads > 0;
            busy || now.duration_since(budget.refilled_at) < MEMORY
        });
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut peers = self.table.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = peers.budgets.get_mut(&self.peer) {
            budget.connections = budget.connections.saturating_sub(1);
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut peers = self.table.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = peers.budgets.get_mut(&self.peer) {
            budget.uploads = budget.uploads.saturating_sub(1);
        }
    }
}

fn subscriber(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 1))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_asks_too_often_waits_and_others_do_not() {
        let table = PeerTable::new(60, 1, 1);
        assert_eq!((0..100).filter(|_| table.request(v4(1))).count(), 60);
        assert!(table.request(v4(2)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((0..100).filter(|_| table.request(v4(1))).count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_given_back() {
        let table = Arc::new(PeerTable::new(60, 2, 1));
        let held: Vec<_> = (0..3).map(|_| table.connect(v4(1))).collect();
        assert_eq!(held.iter().flatten().count(), 2);
        drop(held);
        assert!(table.connect(v4(1)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_are_counted_apart_given_back_and_remembered_while_they_last() {
        let table = Arc::new(PeerTable::new(60, 1, 2));
        let held: Vec<_> = (0..3).map(|_| table.upload(v4(1))).collect();
        assert_eq!(held.iter().flatten().count(), 2);
        assert!(table.upload(v4(2)).is_some());
        assert!(table.connect(v4(1)).is_some());
        tokio::time::advance(MEMORY * 2).await;
        table.peers.lock().unwrap().tidy(Instant::now());
        assert!(table.upload(v4(1)).is_none());
        drop(held);
        assert!(table.upload(v4(1)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_ipv6_subscriber_is_one_peer() {
        let table = PeerTable::new(1, 1, 1);
        let host = |last| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 7, 0, 0, 0, last));
        assert!(table.request(host(1)));
        assert!(!table.request(host(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_does_not_grow_without_bound() {
        let table = PeerTable::new(5, 1, 1);
        for number in 0..20_000_u32 {
            table.request(IpAddr::from(number.to_be_bytes()));
        }
        let known = |table: &PeerTable| table.peers.lock().unwrap().budgets.len();
        assert_eq!(known(&table), PEERS_MAX + 1);
        tokio::time::advance(MEMORY * 2).await;
        table.request(v4(1));
        assert!(known(&table) <= 2);
    }
}

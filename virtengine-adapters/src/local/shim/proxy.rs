//! Carries connections from an exposed port to a ready replica and counts the bytes: what passes here is the workload's
//! network usage, really measured. What a service sends by itself, past this, is not seen on a host without isolation.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::meter::Traffic;
use super::places::{Places, Pulse};

/// Bytes moved at once.
const BUFFER_BYTES: usize = 16 * 1024;

/// How long a replica may take to accept.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Where ready replicas listen, by exposed port.
#[derive(Debug, Default)]
pub(super) struct Targets {
    ready: Mutex<BTreeMap<u16, Vec<u16>>>,
    turn: AtomicUsize,
}

impl Targets {
    /// Replaces all targets: internal ports by external port.
    pub(super) fn set(&self, ready: BTreeMap<u16, Vec<u16>>) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = ready;
    }

    /// The next replica in turn behind `external`.
    fn next(&self, external: u16) -> Option<u16> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let ports = ready.get(&external)?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        ports.get(turn.checked_rem(ports.len())?).copied()
    }
}

/// How long a connection may stay open after one side has closed.
const HALF_OPEN_PATIENCE: Duration = Duration::from_secs(300);

/// Everything a proxy shares with the others of the workload.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) targets: Arc<Targets>,
    pub(super) traffic: Arc<Traffic>,
    places: Arc<Places>,
}

impl Shared {
    pub(super) fn new(traffic: Arc<Traffic>, connections_max: usize) -> Self {
        Self {
            targets: Arc::new(Targets::default()),
            traffic,
            places: Places::new(connections_max),
        }
    }
}

/// Listens on `address:external` from now on. `counted` is false for ports that only services of the workload use.
pub(super) fn start(shared: Shared, address: IpAddr, external: u16, counted: bool) -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind((address, external))?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((client, peer)) => {
                    let Some(room) = shared.places.room().await else {
                        return;
                    };
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        // Without a place the client is turned away.
                        let place = shared.places.enter(peer.ip()).await;
                        drop(room);
                        if let Some(place) = place {
                            tokio::select! {
                                () = carry(&shared, client, external, counted, &place.pulse) => {}
                                () = place.pulse.ended() => {}
                            }
                        }
                    });
                }
                // E.g. out of file descriptors: others must close first.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    Ok(())
}

/// One connection. Without a ready replica the client is turned away at once.
async fn carry(shared: &Shared, client: TcpStream, external: u16, counted: bool, pulse: &Pulse) {
    let Some(internal) = shared.targets.next(external) else {
        return;
    };
    let connect = TcpStream::connect((Ipv4Addr::LOCALHOST, internal));
    let Ok(Ok(server)) = tokio::time::timeout(CONNECT_PATIENCE, connect).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let uncounted = AtomicU64::new(0);
    let (received, sent) = if counted {
        (&shared.traffic.received, &shared.traffic.sent)
    } else {
        (&uncounted, &uncounted)
    };
    let mut inward = pin!(copy(client_in, server_out, received, pulse));
    let mut outward = pin!(copy(server_in, client_out, sent, pulse));
    // When one side has said its last word the other may finish, but not keep the place for ever.
    tokio::select! {
        () = &mut inward => drop(tokio::time::timeout(HALF_OPEN_PATIENCE, outward).await),
        () = &mut outward => drop(tokio::time::timeout(HALF_OPEN_PATIENCE, inward).await),
    }
}

/// Copies until the end and passes the end on. Bytes count when they have arrived here.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: &AtomicU64,
    pulse: &Pulse,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = u64::try_from(length).unwrap_or(0);
        count.fetch_add(bytes, Ordering::Relaxed);
        pulse.beat(bytes);
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

//! Ports that stay free while nobody listens at them.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the system gives to outgoing connections: one of those could take the port while its daemon is away.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port that nobody listens at, and that no other call of this process gets.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run at the same time begin far apart.
    let begin = std::process::id().wrapping_mul(7919) % u32::from(COUNT);
    let begin = u16::try_from(begin).unwrap();
    for _ in 0..COUNT {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (begin + next) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

//! What is measured from outside: the answers of the health port, and the memory of this process.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The longest that a health answer may take.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(50);

/// Status and body of `GET path`, over a connection of its own.
pub(crate) fn get(at: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.unwrap_or(0), body.to_owned()))
}

/// Asks for the health again and again, from a thread of its own.
pub(crate) struct Pulse {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Felt>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Felt {
    /// Answers.
    pub(crate) answers: u32,
    /// The slowest of them.
    pub(crate) slowest: Duration,
    /// Questions without an answer.
    pub(crate) failures: Vec<String>,
}

impl Pulse {
    pub(crate) fn feel(at: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut felt = Felt::default();
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                match get(at, "/health") {
                    Ok((200 | 503, _)) => {
                        felt.answers += 1;
                        felt.slowest = felt.slowest.max(begun.elapsed());
                    }
                    Ok((status, body)) => felt.failures.push(format!("{status}: {body}")),
                    Err(error) => felt.failures.push(error.to_string()),
                }
                std::thread::sleep(PAUSE);
            }
            felt
        });
        Self { stop, thread }
    }

    /// Every question was answered, each within [`ANSWER_MAX`].
    pub(crate) fn assert_steady(self, when: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let felt = self.thread.join().unwrap();
        println!(
            "health {when}: {} answers, the slowest {:?}",
            felt.answers, felt.slowest
        );
        assert!(felt.answers > 0, "{when}: health was never asked");
        assert!(felt.failures.is_empty(), "{when}: {:?}", felt.failures);
        assert!(felt.slowest <= ANSWER_MAX, "{when}: {:?}", felt.slowest);
    }
}

/// Resident memory of this process (daemon, chain and tenants together), in MiB.
pub(crate) fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

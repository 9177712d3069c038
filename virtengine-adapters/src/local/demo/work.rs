//! What the demo does: uses CPU, memory and disk on request, and a little of each by itself.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// Longest burn, so that a request ends.
const BURN_MS_MAX: u64 = 10_000;

/// Most memory or disk in MiB.
const SPACE_MIB_MAX: u64 = 1024;

/// An answer: status line and body.
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self {
            status,
            body: body.into().into_bytes(),
        }
    }

    fn of(outcome: io::Result<String>) -> Self {
        match outcome {
            Ok(body) => Self::text("200 OK", body),
            Err(error) => Self::text("500 Internal Server Error", format!("{error}\n")),
        }
    }
}

/// The state of the demo.
#[derive(Debug)]
pub(super) struct Work {
    data: PathBuf,
    held: Mutex<Vec<u8>>,
    visits: Mutex<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Work {
    pub(super) fn new(data: PathBuf) -> Self {
        let visits = fs::read_to_string(data.join("visits")).unwrap_or_default();
        Self {
            held: Mutex::default(),
            visits: Mutex::new(visits.trim().parse().unwrap_or(0)),
            data,
        }
    }

    pub(super) fn answer(&self, path: &str, query: &str) -> Answer {
        match path {
            "/" => Answer::of(self.visit()),
            "/healthz" => Answer::text("200 OK", "ok\n"),
            "/burn" => {
                let used = burn(Duration::from_millis(number(query, "ms", 100).min(BURN_MS_MAX)));
                Answer::text("200 OK", format!("used {} ms\n", used.as_millis()))
            }
            "/alloc" => {
                let mib = number(query, "mb", 16).min(SPACE_MIB_MAX);
                *lock(&self.held) = filled(mib);
                Answer::text("200 OK", format!("holding {mib} MiB\n"))
            }
            "/write" => {
                let mib = number(query, "mb", 4).min(SPACE_MIB_MAX);
                let kept = fs::write(self.data.join("kept"), filled(mib));
                Answer::of(kept.map(|()| format!("keeping {mib} MiB\n")))
            }
            "/bytes" => {
                let kib = number(query, "kb", 64).min(SPACE_MIB_MAX * 1024);
                let mut body = filled(kib.div_ceil(1024));
                body.truncate(usize::try_from(kib).unwrap_or(0) * 1024);
                Answer {
                    status: "200 OK",
                    body,
                }
            }
            "/exit" => {
                println!("demo-web: asked to end");
                std::process::exit(i32::try_from(number(query, "code", 0)).unwrap_or(1));
            }
            _ => Answer::text("404 Not Found", "no such page\n"),
        }
    }

    fn visit(&self) -> io::Result<String> {
        let mut visits = lock(&self.visits);
        *visits += 1;
        fs::write(self.data.join("visits"), visits.to_string())?;
        println!("demo-web: visit {visits}");
        let told = |name: &str| std::env::var(name).unwrap_or_else(|_| "?".to_owned());
        Ok(format!(
            "demo-web: service {} replica {} of workload {}, visit {visits}\n",
            told("VE_SERVICE"),
            told("VE_REPLICA"),
            told("VE_WORKLOAD"),
        ))
    }

    /// About two hundredths of a core, some memory, and a file that grows to 1 MiB and starts again.
    pub(super) fn steadily(&self) {
        *lock(&self.held) = filled(8);
        let mut size = 0;
        loop {
            burn(Duration::from_millis(20));
            size = if size >= MIB { 0 } else { size + 64 * 1024 };
            if let Err(error) = fs::write(self.data.join("steady"), vec![b'.'; size]) {
                println!("demo-web: cannot write: {error}");
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

fn filled(mib: u64) -> Vec<u8> {
    // Not zero: a file system or the kernel could otherwise keep it as nothing.
    vec![0x5a; usize::try_from(mib).unwrap_or(0) * MIB]
}

fn number(query: &str, name: &str, default: u64) -> u64 {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map_or(default, |(_, value)| value.parse().unwrap_or(default))
}

/// Uses `wanted` CPU time of this thread and says how much it was.
fn burn(wanted: Duration) -> Duration {
    let before = cpu_time();
    let began = Instant::now();
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    loop {
        for _ in 0..50_000 {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
        }
        std::hint::black_box(word);
        let used = match (before, cpu_time()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => began.elapsed(),
        };
        if used >= wanted {
            return used;
        }
    }
}

/// CPU time of this thread, where the kernel counts it.
fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visits_are_remembered_and_unknown_pages_are_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let work = Work::new(dir.path().to_owned());
        work.answer("/", "");
        let again = Work::new(dir.path().to_owned()).answer("/", "");
        assert!(String::from_utf8(again.body).unwrap().ends_with("visit 2\n"));
        assert!(work.answer("/nothing", "").status.starts_with("404"));
    }

    #[test]
    fn a_burn_uses_what_was_asked_for() {
        let used = burn(Duration::from_millis(30));
        assert!(used >= Duration::from_millis(30) && used < Duration::from_secs(5));
    }

    #[test]
    fn nonsense_in_a_query_is_the_default() {
        assert_eq!(number("ms=7&mb=x", "ms", 1), 7);
        assert_eq!(number("ms=7&mb=x", "mb", 4), 4);
    }
}

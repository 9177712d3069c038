//! Keeps the daemon alive: whenever it is killed, the next one begins.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::child::{HOME, STAGE};
use crate::points::Stage;

/// More lives than this in a round mean that the daemon does not get on.
const LIVES_MAX: u32 = 40;
const LOOK: Duration = Duration::from_millis(20);

/// The lives of one round.
#[derive(Debug)]
pub(crate) struct Keeper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u32>>,
}

impl Keeper {
    pub(crate) fn begin(home: &Path, stage: Stage) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (home, stopped) = (home.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || keep(&home, stage, &stopped));
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Lets the last daemon stop in order; answers how many lives there were.
    pub(crate) async fn end(mut self) -> u32 {
        self.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(move || thread.join().unwrap())
            .await
            .unwrap()
    }

    /// Whether it has given up.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Keeper {
    /// A round that failed leaves no daemon behind.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // Its own panic has been printed.
            let _ = thread.join();
        }
    }
}

fn keep(home: &Path, stage: Stage, stop: &AtomicBool) -> u32 {
    for life in 1..=LIVES_MAX {
        let status = live(home, stage, stop);
        if stop.load(Ordering::SeqCst) {
            assert!(status.success(), "life {life}: {status}: {}", said(home));
            return life;
        }
        assert!(was_killed(status), "life {life}: {status}: {}", said(home));
    }
    panic!("{LIVES_MAX} lives were not enough: {}", said(home));
}

/// One life, to its end.
fn live(home: &Path, stage: Stage, stop: &AtomicBool) -> ExitStatus {
    let mut child = start(home, stage);
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if stop.load(Ordering::SeqCst) && !asked {
            asked = true;
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
        std::thread::sleep(LOOK);
    }
}

fn start(home: &Path, stage: Stage) -> Child {
    let output = || {
        let mut options = std::fs::OpenOptions::new();
        options.create(true).append(true).open(words(home)).unwrap()
    };
    Command::new(std::env::current_exe().unwrap())
        .args(["child_that_is_killed", "--exact", "--ignored", "--nocapture"])
        .env(HOME, home)
        .env(STAGE, stage.name())
        // What it says is worth more than where it said it.
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .spawn()
        .unwrap()
}

fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(9)
}

fn words(home: &Path) -> PathBuf {
    home.join("daemon.txt")
}

/// What the daemons said.
pub(crate) fn said(home: &Path) -> String {
    let text = std::fs::read(words(home)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

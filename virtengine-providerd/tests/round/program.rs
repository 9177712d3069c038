//! The program under test.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The built program.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_virtengine-provider"));
    command
        .env_remove("VIRTENGINE_PROVIDER_CONFIG")
        .env_remove("RUST_LOG");
    command
}

/// Runs to the end; the output of a failed run is shown by the caller's assertion.
pub(crate) fn run(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

/// What a run printed, after it was checked to have succeeded.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{command:?}: {}\n{out}\n{err}",
        output.status
    );
    out.into_owned()
}

/// What a run printed as JSON.
pub(crate) fn json(command: &mut Command) -> serde_json::Value {
    let text = succeed(command.args(["--output", "json"]));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A process that runs until it is dropped; it is asked to end, and then made to.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts"),
        )
    }

    /// Reads standard output until a line holds `words`, and returns the line.
    pub(crate) fn line_with(&mut self, words: &str) -> String {
        let out = self.0.stdout.as_mut().expect("standard output is a pipe");
        let mut lines = BufReader::new(out).lines();
        loop {
            let line = lines
                .next()
                .unwrap_or_else(|| panic!("ended before it said {words:?}"))
                .expect("text");
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("the process can be killed");
        self.0.wait().expect("the process can be waited for");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // Ended already: nothing to do.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Looks until there is something to see.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("waited a minute for {what}, in vain");
}

/// Writes a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> PathBuf {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
    path.to_owned()
}

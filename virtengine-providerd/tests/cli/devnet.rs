//! A devnet that is broken off.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A devnet whose own directory is made below `temporary`, unless `arguments` name one.
fn devnet(temporary: &std::path::Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_virtengine-provider"))
        .args(["devnet", "--listen", "127.0.0.1:0", "--block-time", "250ms"])
        .args(arguments)
        .env("TMPDIR", temporary)
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Sends `signal` once a line holds `words`; that line, and the exit code.
fn broken_off(child: &mut Child, words: &str, signal: Signal) -> (String, Option<i32>) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let found = lines
        .by_ref()
        .map_while(Result::ok)
        .find(|line| line.contains(words));
    kill_process(Pid::from_child(child), signal).unwrap();
    // What it still says must not fill the pipe.
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let begun = Instant::now();
    let code = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status.code();
        }
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("still there a minute after {signal:?}: {:?}", rest.join());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    (found.unwrap_or_default(), code)
}

/// Processes that have something to do with the directory.
fn processes_of(directory: &std::path::Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let words = commands.map(|command| String::from_utf8_lossy(&command).into_owned());
    words.filter(|command| command.contains(directory)).collect()
}

#[test]
fn an_interrupted_devnet_leaves_neither_workloads_nor_its_directory() {
    let temporary = tempfile::tempdir().unwrap();
    let (line, code) = broken_off(
        &mut devnet(temporary.path(), &[]),
        "workload runs, reachable at",
        Signal::INT,
    );
    let (_, address) = line
        .split_once("http://")
        .expect("the round came as far as its workload");
    assert_eq!(code, Some(130));
    assert!(
        TcpStream::connect(address).is_err(),
        "something still listens at {address}"
    );
    assert_eq!(processes_of(temporary.path()), Vec::<String>::new());
    assert_eq!(
        std::fs::read_dir(temporary.path()).unwrap().count(),
        0,
        "the directory is gone"
    );
}

#[test]
fn a_signal_during_the_start_of_a_devnet_is_not_lost() {
    let temporary = tempfile::tempdir().unwrap();
    let (line, code) = broken_off(
        &mut devnet(temporary.path(), &[]),
        "virtengine-localnet-1 at",
        Signal::TERM,
    );
    assert!(line.contains("http://"), "{line}");
    assert_eq!(code, Some(143));
    assert_eq!(processes_of(temporary.path()), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_devnet_that_is_ended_after_its_round_keeps_a_home_that_was_named() {
    let temporary = tempfile::tempdir().unwrap();
    let home = temporary.path().join("mine");
    let mut child = devnet(temporary.path(), &["--home", home.to_str().unwrap()]);
    let (_, code) = broken_off(&mut child, "runs on until Ctrl-C", Signal::INT);
    assert_eq!(code, Some(0), "the normal end");
    assert_eq!(processes_of(temporary.path()), Vec::<String>::new());
    assert!(home.join("provider-config.yaml").exists() && home.join("provider/journal.db").exists());
}

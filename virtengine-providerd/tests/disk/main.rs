//! The program on disks that fail it: what was torn by a crash, what is cut off, and what is full.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not inside test functions"
)]

#[path = "../training/site.rs"]
#[allow(dead_code, reason = "made for other tests")]
mod site;

use std::io::Write as _;
use std::process::Command;

use site::{Running, Site, skip, until};

const WORKLOAD: &str = include_str!("../../src/devnet/demo.yaml");

fn deploy(site: &Site) -> String {
    site.write("workload.yaml", WORKLOAD, 0o644);
    site.run("workload deploy --manifest workload.yaml").ok();
    let running = until("the workload to run", || {
        site.first("workload list --state running")
    });
    running["id"].as_str().unwrap().to_owned()
}

/// Ends the daemon as a crash would.
fn kill(mut daemon: Running) {
    daemon.signal(rustix::process::Signal::KILL);
    daemon.ended();
}

/// What a start says that cannot succeed.
fn refused(site: &Site) -> String {
    let mut daemon = Running::start(site.program().arg("start"), &site.path("refused.printed"));
    let status = daemon.ended();
    let printed = std::fs::read_to_string(site.path("refused.printed")).unwrap();
    assert!(
        !status.success() && status.code().is_some(),
        "{status}: {printed}"
    );
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_last_page_that_was_torn_loses_nothing_that_was_committed() {
    let site = Site::new().await;
    site.configure(|text| text);
    site.make_keys();
    let daemon = site.start();
    let workload = deploy(&site);
    kill(daemon);
    // Half of a page that was on its way to the disk.
    let log = site.path("state/journal.db-wal");
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(&[0xA5; 2100]).unwrap();
    drop(file);
    let daemon = site.start();
    let found = until("the workload", || site.first("workload list --state running"));
    assert_eq!(found["id"], workload.as_str());
    site.run(&format!("workload terminate {workload}")).ok();
    until("the end", || site.first("workload list --state terminated"));
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_cut_off_is_named_and_left_as_it_is() {
    let site = Site::new().await;
    site.configure(|text| text);
    site.make_keys();
    let daemon = site.start();
    let workload = deploy(&site);
    site.run(&format!("workload terminate {workload}")).ok();
    until("the end", || site.first("workload list --state terminated"));
    drop(daemon);
    let path = site.path("state/journal.db");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let words = refused(&site);
    assert!(words.contains(&path.display().to_string()), "{words}");
    assert!(words.contains("damaged") && words.contains("backup"), "{words}");
    assert_eq!(std::fs::read(&path).unwrap(), whole[..whole.len() / 2]);
    // Put back, everything is there.
    std::fs::write(&path, &whole).unwrap();
    let daemon = site.start();
    let found = site.first("workload list --state terminated").unwrap();
    assert_eq!(found["id"], workload.as_str());
    drop(daemon);
}

/// A file system of 3 MiB at the state directory, in a mount namespace of its own, for `script`.
fn on_a_small_disk(site: &Site, script: &str) -> Option<String> {
    std::fs::create_dir_all(site.path("state")).unwrap();
    let mount = "mount -t tmpfs -o size=3m,mode=0700 tmpfs \"$1\" || exit 77; ";
    let mut command = Command::new("unshare");
    let output = command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("{mount}{script}"))
        .arg("sh")
        .arg(site.path("state"))
        .arg(env!("CARGO_BIN_EXE_virtengine-provider"))
        .env("VIRTENGINE_PROVIDER_CONFIG", site.path("provider-config.yaml"))
        .current_dir(site.home.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(77) || printed.contains("unshare failed") {
        skip(&format!("no tmpfs in a mount namespace: {printed}"));
        return None;
    }
    assert!(output.status.success(), "{}: {printed}", output.status);
    Some(printed.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_full_disk_says_so_and_the_next_one_with_room_goes_on() {
    let site = Site::new().await;
    site.configure(|text| text.replace("local: {enabled: true}", "memory: {enabled: true}"));
    site.make_keys();
    // Full from the beginning: refused. With room: up. Full under a journal that is there: refused or up, and nothing is lost.
    let script = "
        dd if=/dev/zero of=\"$1/ballast\" bs=4k 2>/dev/null
        timeout 20 \"$2\" start; echo \"full: exit $?\"
        rm \"$1/ballast\"
        \"$2\" start & daemon=$!
        for i in $(seq 100); do \"$2\" status >/dev/null 2>&1 && break; sleep 0.1; done
        \"$2\" status >/dev/null && echo 'with room: up'
        kill $daemon; wait $daemon; echo \"with room: exit $?\"
        dd if=/dev/zero of=\"$1/ballast\" bs=4k 2>/dev/null
        timeout -s TERM 5 \"$2\" start; echo \"full again: exit $?\"
        rm \"$1/ballast\"
        \"$2\" start & daemon=$!
        for i in $(seq 100); do \"$2\" status >/dev/null 2>&1 && break; sleep 0.1; done
        \"$2\" status >/dev/null && echo 'room again: up'
        kill $daemon; wait $daemon; echo \"room again: exit $?\"";
    let Some(printed) = on_a_small_disk(&site, script) else {
        return;
    };
    println!("{printed}");
    for wanted in [
        "with room: up",
        "with room: exit 0",
        "room again: up",
        "room again: exit 0",
    ] {
        assert!(printed.contains(wanted), "{printed}");
    }
    assert!(!printed.contains("full: exit 0"), "{printed}");
    assert!(printed.contains("no space left"), "{printed}");
}

//! Broken set-ups: the doctor names the cause and what to do about it.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;

use serde_json::Value;

use crate::site::{Site, account, finish};

/// The report, of a doctor that ended with `code`.
#[track_caller]
fn report(site: &Site, code: i32) -> Value {
    let ran = site.run("doctor --output json");
    assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

/// The check `name` came out as `outcome`, and says all of `words`.
#[track_caller]
fn says(report: &Value, name: &str, outcome: &str, words: &[&str]) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks
        .iter()
        .find(|check| check["name"] == name && check["outcome"] == outcome)
        .unwrap_or_else(|| panic!("no check {name} is {outcome}: {report:#}"));
    let text = format!("{} {}", check["message"], check["remedy"]);
    for word in words {
        assert!(text.contains(word), "{name}: {text} does not say {word:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_the_doctor_says_which_commands_make_them() {
    let site = Site::new().await;
    site.configure(|text| text);
    says(&report(&site, 1), "keys.store", "failed", &["keys init"]);
    site.run("keys init").ok();
    site.run("keys generate --algorithm ed25519").ok();
    let partly = report(&site, 1);
    says(&partly, "keys.identity", "ok", &[]);
    says(
        &partly,
        "keys.account",
        "failed",
        &["keys import --mnemonic-file", "secp256k1"],
    );
    site.run("keys import --mnemonic-file bob.words").ok();
    let whole = report(&site, 0);
    says(&whole, "keys.address", "ok", &[account("bob").address]);
    says(&whole, "chain.registered", "ok", &[]);
    says(
        &whole,
        "daemon.running",
        "warning",
        &["virtengine-provider start"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_account_is_named_with_both_addresses() {
    let site = Site::new().await;
    let (alice, bob) = (account("alice").address, account("bob").address);
    site.configure(|text| text.replace(bob, alice));
    site.make_keys();
    let found = report(&site, 1);
    says(
        &found,
        "keys.address",
        "failed",
        &[alice, bob, "provider.address"],
    );
    // Alice has money and is no provider.
    says(&found, "chain.registered", "failed", &[alice, "register"]);
    says(&found, "chain.balance", "ok", &[]);
    // The daemon refuses for the same reason.
    let error = site.run("start").fails(1);
    assert!(error.contains(alice) && error.contains(bob), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_that_is_not_there_and_another_chain_are_two_findings() {
    let site = Site::new().await;
    let rpc = site.chain.rpc_url();
    site.configure(|text| text.replace(&rpc, "http://127.0.0.1:1"));
    site.make_keys();
    let words = ["127.0.0.1:1", "refused", "chain.endpoints"];
    says(&report(&site, 1), "chain.reachable", "failed", &words);

    site.configure(|text| text.replace("chain_id: virtengine-localnet-1", "chain_id: virtengine-1"));
    let words = ["is of another chain", "not of virtengine-1", "set chain.chain_id"];
    says(&report(&site, 1), "chain.reachable", "failed", &words);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_cannot_be_written_is_named() {
    let site = Site::new().await;
    site.configure(|text| text);
    site.make_keys();
    says(&report(&site, 0), "storage.writable", "ok", &["can be made"]);

    let file = site.write("state", "not a directory", 0o600);
    let words = [file.to_str().unwrap(), "is not a directory", "install -d"];
    says(&report(&site, 1), "storage.writable", "failed", &words);
    let error = site.run("start").fails(1);
    assert!(error.contains("state"), "{error}");
    std::fs::remove_file(file).unwrap();

    // A directory of somebody else. Root may write everywhere, so somebody else looks.
    if !crate::site::can_be_somebody_else() {
        return;
    }
    let program = site.path("program");
    std::fs::copy(env!("CARGO_BIN_EXE_virtengine-provider"), &program).unwrap();
    std::fs::create_dir(site.path("state")).unwrap();
    for (path, mode) in [
        (".", 0o755),
        ("program", 0o755),
        ("state", 0o755),
        ("provider-config.yaml", 0o644),
    ] {
        std::fs::set_permissions(site.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["--config", site.path("provider-config.yaml").to_str().unwrap()])
        .args(["doctor", "--output", "json"]);
    let ran = finish(&mut command);
    let found: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    says(
        &found,
        "storage.writable",
        "failed",
        &["cannot be written to", "install -d"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_of_a_dead_daemon_is_recognised_and_replaced() {
    let site = Site::new().await;
    site.configure(|text| text);
    site.make_keys();
    std::fs::create_dir(site.path("state")).unwrap();
    std::fs::set_permissions(site.path("state"), std::fs::Permissions::from_mode(0o700)).unwrap();
    drop(UnixListener::bind(site.path("state/operator.sock")).unwrap());
    let words = ["operator.sock", "is gone", "virtengine-provider start"];
    says(&report(&site, 0), "daemon.running", "warning", &words);
    site.run("status").fails(4);
    let daemon = site.start();
    says(&report(&site, 0), "daemon.running", "ok", &[]);
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_without_funds_that_is_not_registered_is_both() {
    let site = Site::new().await;
    let (bob, mut words) = (account("bob").address, String::new());
    site.configure(|text| text);
    site.run("keys init").ok();
    site.run("keys generate --algorithm ed25519").ok();
    // An account that nobody has ever paid.
    let made = site
        .run("keys generate --algorithm secp256k1 --output json")
        .json();
    let address = made["address"].as_str().unwrap();
    words.push_str(made["mnemonic"].as_str().unwrap());
    site.configure(|text| text.replace(bob, address));
    let found = report(&site, 1);
    says(&found, "keys.address", "ok", &[address]);
    says(
        &found,
        "chain.balance",
        "failed",
        &[address, "has no uve", "send uve"],
    );
    says(
        &found,
        "chain.registered",
        "failed",
        &[address, "refuses its bids"],
    );
    assert!(!found.to_string().contains(&words));
}

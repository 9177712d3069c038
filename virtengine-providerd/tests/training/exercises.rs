//! The exercises and the troubleshooting commands of the training document, each line as it stands there. Only the two directories
//! of a real machine are replaced by those of the test.

use crate::site::{Ran, Site, account, until};

/// The configuration example of the training document (`provider-config.yaml`).
const SAMPLE: &str = include_str!("../config/training-provider.yaml");
/// The manifest example of the training document, small enough for any machine.
const WORKLOAD: &str = include_str!("../../src/devnet/demo.yaml");

/// Runs a line of the document.
fn line(site: &Site, line: &str) -> Ran {
    let home = site.home.path().display();
    let line = line
        .replace("/etc/virtengine/provider", &home.to_string())
        .replace("/var/lib/virtengine", &home.to_string());
    let arguments = line.strip_prefix("virtengine-provider ").unwrap();
    site.run(arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn exercise_1_1_leads_from_the_sample_to_a_dry_run() {
    let site = Site::new().await;
    // The sample's address is one of a document, and both commands say so.
    site.write("provider-config.yaml", SAMPLE, 0o600);
    let checked = line(&site, "virtengine-provider config validate").ok();
    assert!(
        checked.contains("provider.address") && checked.contains("cannot start"),
        "{checked}"
    );
    let error = line(&site, "virtengine-provider start --dry-run").fails(3);
    assert!(
        error.contains("provider.address") && error.contains("PLACEHOLDER"),
        "{error}"
    );

    // The generated file, filled in; the keys come in exercise 1.2.
    let generated = line(&site, "virtengine-provider config generate").ok();
    let mine = format!("  address: {}\n  attributes", account("bob").address);
    let filled = generated
        .replace("  # address: ve1...\n", "")
        .replace("  attributes", &mine)
        .replace("/var/lib/virtengine", &site.home.path().display().to_string());
    assert_ne!(filled, generated);
    site.write("provider-config.yaml", &filled, 0o600);
    // Nobody but the operator knows where workloads may run.
    let checked = line(&site, "virtengine-provider config validate").ok();
    assert!(
        checked.contains("is valid") && checked.contains("no back end is enabled"),
        "{checked}"
    );
    let error = line(&site, "virtengine-provider start --dry-run").fails(3);
    assert!(error.contains("adapters.local.enabled: true"), "{error}");
    let filled = filled.replacen("    enabled: false", "    enabled: true", 1);
    site.write("provider-config.yaml", &filled, 0o600);
    let checked = line(&site, "virtengine-provider config validate").ok();
    assert!(!checked.contains("cannot start"), "{checked}");
    let error = line(&site, "virtengine-provider start --dry-run").fails(10);
    assert!(error.contains("hint: ") && error.contains("keys init"), "{error}");

    site.configure(|text| text);
    site.make_keys();
    let dry = crate::site::Running::start(
        site.program().args(["start", "--dry-run"]),
        &site.path("daemon.printed"),
    );
    until("the dry run to answer", || {
        (site.run("status").code == 0).then_some(())
    });
    let status = site.run("status --output json").json();
    assert_eq!(status["dry_run"], true);
    assert!(site.run("status").ok().contains("dry run"));
    drop(dry);
    assert!(!site.path("state/journal.db").exists(), "a dry run keeps nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn exercise_1_2_sets_up_keys() {
    let site = Site::new().await;
    // The passphrase is where the document leaves it open: in the variable that names its file.
    site.configure(|text| text);
    let told = line(
        &site,
        "virtengine-provider keys init --storage-type file --key-dir /var/lib/virtengine/keys",
    )
    .ok();
    assert!(told.contains("Next: virtengine-provider keys generate"), "{told}");
    line(&site, "virtengine-provider keys generate --algorithm ed25519").ok();
    let absent = line(
        &site,
        "virtengine-provider keys set-policy --max-age-days 90 --auto-rotate",
    )
    .fails(1);
    assert!(absent.contains("not available in this build"), "{absent}");
    let signed = line(&site, "virtengine-provider keys test-sign").ok();
    assert!(signed.contains("signature verifies"), "{signed}");
    // What the document leaves out: the account. The daemon says what is missing.
    let error = line(&site, "virtengine-provider start").fails(26);
    assert!(
        error.contains("account key") && error.contains("keys import --mnemonic-file"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exercise_3_1_takes_a_workload_through_its_life() {
    let site = Site::new().await;
    site.configure(|text| text);
    site.make_keys();
    site.write("workload.yaml", WORKLOAD, 0o644);
    let error = line(
        &site,
        "virtengine-provider workload deploy --manifest workload.yaml",
    )
    .fails(4);
    assert!(error.contains("virtengine-provider start"), "{error}");

    let daemon = site.start();
    let told = line(
        &site,
        "virtengine-provider workload deploy --manifest workload.yaml",
    )
    .ok();
    assert!(told.contains("virtengine-provider workload status"), "{told}");
    let listed = until("the workload", || site.first("workload list"));
    let id = listed["id"].as_str().unwrap().to_owned();
    let state = |state: &str| {
        until(state, || {
            let seen = site.run(&format!("workload status {id} --output json")).json();
            (seen["state"] == state).then_some(())
        });
    };
    state("running");
    for (action, then) in [
        ("pause", "paused"),
        ("resume", "running"),
        ("stop", "stopped"),
        ("terminate", "terminated"),
    ] {
        line(&site, &format!("virtengine-provider workload {action} {id}")).ok();
        state(then);
    }
    troubleshooting(&site);
    drop(daemon);
    // Without a daemon each command says so, or does without one.
    line(&site, "virtengine-provider status").fails(4);
    line(&site, "virtengine-provider keys status").ok();
    line(&site, "virtengine-provider chain ping").ok();
    line(&site, "virtengine-provider logs --tail 100 --level error").ok();
}

/// The block "Troubleshooting Commands".
fn troubleshooting(site: &Site) {
    for command in [
        "virtengine-provider status",
        "virtengine-provider workload list --state running",
        "virtengine-provider bid-engine status",
        "virtengine-provider bids list --last 100",
        "virtengine-provider keys status",
        "virtengine-provider usage list --pending",
        "virtengine-provider chain ping",
        "virtengine-provider logs --tail 100 --level error",
        "virtengine-provider doctor",
    ] {
        let ran = line(site, command);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{command}: {}", ran.out);
        assert!(
            !ran.out.trim().is_empty() || command.contains("logs"),
            "{command} says nothing"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exercise_3_2_finds_mistakes_in_a_manifest_and_deploys_the_corrected_one() {
    let site = Site::new().await;
    site.configure(|text| text);
    site.make_keys();
    let wrong = WORKLOAD
        .replace("count: 1", "count: none")
        .replace("64Mi", "lots");
    site.write("workload.yaml", &wrong, 0o644);
    let error = line(&site, "virtengine-provider manifest validate workload.yaml").fails(7);
    assert!(
        error.contains("has 2 problems") && error.contains("memory.size"),
        "{error}"
    );
    assert!(error.contains("hint") || error.contains("is not"), "{error}");
    let same = line(
        &site,
        "virtengine-provider workload deploy --manifest workload.yaml",
    )
    .fails(7);
    assert_eq!(same, error, "both commands say the same");
    site.write("workload.yaml", WORKLOAD, 0o644);
    line(&site, "virtengine-provider manifest validate workload.yaml").ok();
    let daemon = site.start();
    line(
        &site,
        "virtengine-provider workload deploy --manifest workload.yaml",
    )
    .ok();
    let id = until("the workload to run", || {
        site.first("workload list --state running")
    })["id"]
        .clone();
    line(
        &site,
        &format!("virtengine-provider workload terminate {}", id.as_str().unwrap()),
    )
    .ok();
    until("the end", || site.first("workload list --state terminated"));
    drop(daemon);
}

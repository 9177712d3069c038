//! What keeps every rule.

use async_trait::async_trait;
use virtengine_adapters::conformance::fixtures::{LocalFixture, MemoryFixture};
use virtengine_adapters::conformance::{FixtureResult, Open, Opened, Outcome, RULES, run_all, run_rule};
use virtengine_adapters::memory;

/// The back end in memory that can do everything.
struct Memory;

#[async_trait]
impl Open for Memory {
    type Fixture = MemoryFixture;
    const SHARED: bool = false;

    async fn open() -> FixtureResult<Opened<MemoryFixture>> {
        Ok(Opened::Ready(MemoryFixture::default()))
    }
}

/// The back end in memory that declares nothing, and takes some time to start a workload.
struct PoorMemory;

#[async_trait]
impl Open for PoorMemory {
    type Fixture = MemoryFixture;
    const SHARED: bool = false;

    async fn open() -> FixtureResult<Opened<MemoryFixture>> {
        let mut config = memory::Config {
            start_delay_ms: 3000,
            ..memory::Config::default()
        };
        let can = &mut config.capabilities;
        (can.pause, can.persistent_storage, can.logs, can.gpus) = (false, false, false, false);
        Ok(Opened::Ready(MemoryFixture::new(config)))
    }
}

/// Processes of this host, in control groups where there are any.
struct Local;

#[async_trait]
impl Open for Local {
    type Fixture = LocalFixture;
    const SHARED: bool = false;

    async fn open() -> FixtureResult<Opened<LocalFixture>> {
        let fixture = LocalFixture::scratch(|config| {
            let shim = env!("CARGO_BIN_EXE_virtengine-local-shim");
            config.supervisor = vec![shim.to_owned(), "local-shim".to_owned()];
            config.stop_grace_ms = 1500;
            config.startup_grace_ms = 50;
            config.restart_delay_ms = 50;
            config.sample_ms = 100;
            config.checkpoint_ms = 500;
        })?;
        Ok(Opened::Ready(fixture))
    }
}

/// No back end, as on the laptop of somebody who only changes something else.
struct Nowhere;

#[async_trait]
impl Open for Nowhere {
    type Fixture = MemoryFixture;

    async fn open() -> FixtureResult<Opened<MemoryFixture>> {
        Ok(Opened::NotConfigured("no back end is configured".to_owned()))
    }
}

mod memory_keeps_every_rule {
    virtengine_adapters::conformance!(super::Memory);
}

mod memory_without_capabilities_keeps_every_rule {
    virtengine_adapters::conformance!(super::PoorMemory);
}

mod local_keeps_every_rule {
    virtengine_adapters::conformance!(super::Local);
}

/// On one thread a forgotten call and the one after it go to their own threads at the same moment.
#[tokio::test]
async fn a_forgotten_deploy_of_the_local_adapter_is_over_before_the_next_call() {
    let rule = RULES
        .iter()
        .find(|rule| rule.name == "a_deploy_given_up_midway_can_be_done_again");
    let Ok(Opened::Ready(fixture)) = Local::open().await else {
        panic!("the local adapter is always there")
    };
    for _ in 0..3 {
        let report = run_rule(&fixture, rule.unwrap()).await;
        assert_eq!(report.outcome, Outcome::Passed, "{report}");
    }
}

#[test]
fn without_a_back_end_a_rule_is_skipped_and_fails_where_ci_is_set() {
    const INNER: &str = "CONFORMANCE_KIT_IS_TESTED";
    const NAME: &str = "kept::without_a_back_end_a_rule_is_skipped_and_fails_where_ci_is_set";
    if std::env::var_os(INNER).is_some() {
        virtengine_adapters::conformance::test::<Nowhere>(RULES[0].name);
        return;
    }
    // The variable belongs to a whole process, so each case has one of its own.
    let skipped = |ci: Option<&str>| {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child
            .args(["--exact", NAME, "--nocapture"])
            .env(INNER, "1")
            .env_remove("CI");
        if let Some(ci) = ci {
            child.env("CI", ci);
        }
        let output = child.output().unwrap();
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(words.contains("running 1 test"), "{words}");
        (
            output.status.success(),
            words.contains("skipped: no back end is configured"),
        )
    };
    assert_eq!(skipped(None), (true, true));
    assert_eq!(skipped(Some("")), (true, true));
    assert_eq!(skipped(Some("true")), (false, true));
}

#[tokio::test]
async fn what_a_fixture_cannot_do_is_said_rule_by_rule() {
    let report = run_all(&MemoryFixture::default()).await;
    assert!(report.is_passed(), "{report}");
    let said: Vec<&str> = report
        .rules
        .iter()
        .filter(|rule| matches!(&rule.outcome, Outcome::NotApplicable(why) if why.starts_with("the fixture cannot")))
        .map(|rule| rule.rule)
        .collect();
    let expected = [
        "every_call_of_a_deploy_may_be_cut_off",
        "every_call_of_a_terminate_may_be_cut_off",
        "every_call_of_a_deploy_may_be_slow",
        "every_call_of_a_terminate_may_be_slow",
    ];
    assert_eq!(said, expected, "{report}");
    let passed = report
        .rules
        .iter()
        .filter(|rule| rule.outcome == Outcome::Passed)
        .count();
    assert_eq!(passed, RULES.len() - expected.len(), "{report}");
}

#[tokio::test]
async fn a_report_is_a_table_and_json() {
    let report = run_all(&MemoryFixture::default()).await;
    let table = report.to_string();
    assert!(
        table.contains("not applicable") && table.ends_with("0 failed, 4 not applicable"),
        "{table}"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["back_end"], "memory");
    assert_eq!(json["rules"].as_array().unwrap().len(), RULES.len());
    let first = &json["rules"][0];
    assert_eq!(
        (&first["rule"], &first["outcome"]),
        (&RULES[0].name.into(), &"passed".into())
    );
    assert!(first["seconds"].is_number(), "{first}");
}

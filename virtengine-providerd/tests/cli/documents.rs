use crate::program::Program;

const SHOP: &str = "\
version: v1
name: shop
services:
  - {name: api, type: container, image: 'nginx:1.27', resources: {cpu: 500, memory: 536870912}}
";

#[test]
fn the_generated_configuration_is_valid_and_only_lacks_what_nobody_can_know() {
    let program = Program::new();
    let text = program.run(&["config", "generate"]).ok();
    let file = program.write("generated.yaml", &text, 0o644);
    let checked = program
        .run(&["config", "validate", &file, "--output", "json"])
        .json();
    assert_eq!(checked["valid"], true);
    assert_eq!(checked["ready"], false);
    let codes: Vec<_> = checked["notices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|notice| notice["code"].as_str().unwrap().to_owned())
        .collect();
    assert!(codes.contains(&"PLACEHOLDER".to_owned()), "{codes:?}");
    let shown = program.run(&["config", "validate", &file]).ok();
    assert!(
        shown.contains("is valid") && shown.contains("cannot start"),
        "{shown}"
    );
}

#[test]
fn every_problem_of_a_configuration_is_shown_with_its_place() {
    let program = Program::new();
    let text = "bid_engine:\n  max_bids_per_minute: lots\npricing:\n  cpu_price_per_cor: \"1\"\n";
    let file = program.write("bad.yaml", text, 0o644);
    let error = program.run(&["config", "validate", &file]).fails(3);
    assert!(error.contains("has 2 problems"), "{error}");
    assert!(error.contains("2:24 bid_engine.max_bids_per_minute"), "{error}");
    assert!(error.contains("4:3 pricing.cpu_price_per_cor"), "{error}");
    let ran = program.run(&["config", "validate", &file, "--output", "json"]);
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["details"].as_array().unwrap().len(), 2);
}

#[test]
fn a_configuration_that_was_named_must_be_there() {
    let program = Program::new();
    let error = program.run(&["config", "validate", "nowhere.yaml"]).fails(3);
    assert!(
        error.contains("nowhere.yaml") && error.contains("config generate"),
        "{error}"
    );
    program.run(&["--config", "nowhere.yaml", "status"]).fails(3);
}

#[test]
fn the_daemon_does_not_start_with_a_sample_address() {
    let program = Program::new();
    let error = program.run(&["start", "--dry-run"]).fails(3);
    assert!(
        error.contains("provider") && error.contains("PLACEHOLDER"),
        "{error}"
    );
}

const ADDRESS: &str = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";

/// What `start` refuses, the two commands that are asked before it say as well, at the same place.
#[test]
fn the_check_and_the_doctor_say_what_the_start_refuses() {
    for (storage, adapters, place, words) in [
        (
            "memory",
            "local: {enabled: true}",
            "4:17 key_manager.storage_type",
            "forgets its keys",
        ),
        (
            "non_custodial\n  non_custodial: {protocol: vault}",
            "local: {enabled: true}",
            "4:17 key_manager.storage_type",
            "not available in this build",
        ),
        ("file", "{}", "6:3 adapters", "no back end is enabled"),
        (
            "file",
            "local: {enabled: true}\n  memory: {enabled: true}",
            "6:3 adapters",
            "one back end at a time",
        ),
        (
            "file",
            "kubernetes: {enabled: true, kubeconfig: /k}",
            "6:15 adapters.kubernetes",
            "not available in this build",
        ),
    ] {
        let program = Program::new();
        let text = format!(
            "provider:\n  address: {ADDRESS}\nkey_manager:\n  storage_type: {storage}\nadapters:\n  {adapters}\nstorage: {{dir: {}/state}}\n",
            program.home.path().display()
        );
        let file = program.write("config.yaml", &text, 0o644);
        let checked = program.run(&["config", "validate"]).ok();
        assert!(checked.starts_with(&format!("{file} is valid\n")), "{checked}");
        let (_, after) = checked
            .split_once("The daemon cannot start with it yet:\n")
            .unwrap();
        assert!(
            after.starts_with(&format!("  {place}: ")) && after.contains(words),
            "{after}"
        );
        assert_eq!(after.lines().count(), 1, "{after}");
        let value = program.run(&["config", "validate", "--output", "json"]).json();
        assert_eq!((&value["valid"], &value["ready"]), (&true.into(), &false.into()));

        let doctor = program.run(&["doctor"]);
        assert_eq!(doctor.code, 1, "{doctor:?}");
        let found = doctor
            .out
            .lines()
            .find(|line| line.contains("config.ready"))
            .unwrap();
        assert!(
            found.starts_with("failed")
                && found.contains(&format!("{file}:{place}: "))
                && found.contains(words),
            "{found}"
        );

        let refused = program.run(&["start"]).fails(3);
        assert!(
            refused.contains(place) && refused.contains(words) && refused.contains("hint: "),
            "{refused}"
        );
    }
}

#[test]
fn every_section_of_the_training_document_is_valid() {
    let program = Program::new();
    for name in ["provider", "key-manager", "kubernetes", "clouds", "metering"] {
        let file = format!("{}/tests/config/training-{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let ran = program.run_with(&["config", "validate", &file], "", &[("WALDUR_TOKEN", "t0k3n")]);
        let text = ran.ok();
        assert!(text.starts_with(&format!("{file} is valid\n")), "{text}");
        assert!(text.contains("The daemon cannot start with it yet:\n"), "{text}");
    }
}

#[test]
fn what_has_no_effect_is_said_by_the_check_and_at_the_start() {
    let program = Program::new();
    let home = program.home.path().display().to_string();
    let text = format!(
        "provider:\n  address: {ADDRESS}\n  website: https://example.com\nkey_manager:\n  key_dir: {home}/keys\n  key_rotation_days: 30\n\
         adapters: {{local: {{enabled: true}}}}\nstorage: {{dir: {home}/state}}\nlogging: {{file: {home}/log}}\n"
    );
    program.write("config.yaml", &text, 0o644);
    let checked = program.run(&["config", "validate"]).ok();
    assert!(!checked.contains("cannot start"), "{checked}");
    // It gets as far as the keys, which are not there.
    let started = program.run(&["start"]);
    assert_eq!(started.code, 10, "{started:?}");
    for notice in [
        "3:12 provider.website: has no effect in this build",
        "6:22 key_manager.key_rotation_days: has no effect in this build",
    ] {
        assert!(
            checked.contains(notice) && started.err.contains(notice),
            "{checked}{started:?}"
        );
    }
}

#[test]
fn the_configuration_in_force_hides_secrets() {
    let program = Program::new();
    let text = "key_manager:\n  passphrase: \"${SECRET}\"\n";
    program.write("config.yaml", text, 0o644);
    let ran = program.run_with(&["config", "show"], "", &[("SECRET", "xyzzy")]);
    let shown = ran.ok();
    assert!(shown.contains("REDACTED") && !shown.contains("xyzzy"), "{shown}");
}

#[test]
fn a_manifest_is_checked_and_its_hash_is_shown() {
    let program = Program::new();
    let file = program.write("shop.yaml", SHOP, 0o644);
    let checked = program
        .run(&["manifest", "validate", &file, "--output", "json"])
        .json();
    assert_eq!(checked["version"], "v1");
    assert_eq!(checked["groups"][0]["services"][0], "api");
    assert_eq!(checked["total"]["cpu_millis"], 500);
    let piped = program.run_with(&["manifest", "validate", "-", "--output", "json"], SHOP, &[]);
    assert_eq!(piped.json()["hash"], checked["hash"]);
}

#[test]
fn every_problem_of_a_manifest_is_shown_with_its_place() {
    let program = Program::new();
    let text = SHOP
        .replace("cpu: 500", "cpu: none")
        .replace("name: shop", "name: 'Not A Name'");
    let file = program.write("bad.yaml", &text, 0o644);
    let error = program.run(&["manifest", "validate", &file]).fails(7);
    assert!(error.contains("2:7 name") && error.contains("4:"), "{error}");
    // The operator's deploy says the same without bothering the daemon.
    program.run(&["workload", "deploy", "--manifest", &file]).fails(7);
    program.run(&["manifest", "validate", "nowhere.yaml"]).fails(1);
}

#[test]
fn a_manifest_that_is_too_large_is_not_swallowed() {
    let program = Program::new();
    let file = program.write("large.yaml", &"# a\n".repeat(600_000), 0o644);
    let error = program.run(&["manifest", "validate", &file]).fails(7);
    assert!(error.len() < 2_000, "{error}");
}

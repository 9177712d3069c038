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

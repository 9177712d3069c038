mod codes;
mod hostile;
mod mapping;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::*;

/// The example manifests, all valid.
const VALID: [&str; 7] = [
    "training-v2beta1.yaml",
    "riot-web.yaml",
    "two-placements.yaml",
    "kubernetes-v1.json",
    "openstack-v1.json",
    "azure-v1.json",
    "shop-v1.yaml",
];

#[expect(
    clippy::disallowed_methods,
    reason = "the tests read files; the code under test does not"
)]
fn example(file: &str) -> String {
    let path = format!("{}/tests/manifests/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect("the example manifests are in the repository")
}

fn valid(text: &str) -> ValidManifest {
    match read(text.as_bytes()) {
        Ok(manifest) => manifest,
        Err(problems) => panic!("refused: {}", lines(&problems).join("\n")),
    }
}

fn refused(text: &str) -> Vec<String> {
    match read(text.as_bytes()) {
        Ok(manifest) => panic!("accepted: {manifest:?}\n{text}"),
        Err(problems) => lines(&problems),
    }
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_example_is_accepted() {
    for file in VALID {
        valid(&example(file));
    }
}

#[test]
fn the_example_of_the_training_is_accepted_without_a_word() {
    let manifest = valid(&example("training-v2beta1.yaml"));
    assert_eq!(manifest.version(), Version::V2Beta1);
    assert_eq!(manifest.notices(), []);
    let service = &manifest.groups()[0].services()[0];
    let spec = service.spec();
    assert_eq!(
        (spec.name.as_str(), spec.image.as_str(), spec.count),
        ("web", "nginx:latest", 3)
    );
    assert_eq!((spec.cpu_millis, spec.memory_bytes), (1000, 512 << 20));
    assert_eq!(
        (spec.volumes[0].name.as_str(), spec.volumes[0].bytes),
        ("default", 1 << 30)
    );
    assert_eq!(
        service.price().map(ToString::to_string).as_deref(),
        Some("1000uvirt")
    );
    assert_eq!(manifest.groups()[0].attributes()[0].value, "us-east");
}

#[test]
fn ten_mistakes_are_ten_problems_with_their_places() {
    let expected = [
        "3:3 services.Web: \"Web\" is not a name: a-z, 0-9 and dashes, at most 63 characters [INVALID_NAME] (for example web)",
        "4:5 services.Web.imagge: no such key here [UNKNOWN_FIELD] (did you mean image?)",
        "5:12 services.Web.image: \"Nginx Latest\" is not an image [INVALID_VALUE] (for example registry.example.com/team/app:1.2)",
        "6:12 services.Web.count: count 3 here, but 2 under deployment [CONFLICT]",
        "8:15 services.Web.expose[0].port: \"80000\" is not a whole number between 1 and 65535 [INVALID_VALUE]",
        "9:16 services.Web.expose[0].proto: \"sctp\" is not allowed here [INVALID_VALUE] (did you mean tcp?)",
        "16:22 profiles.compute.web.resources.cpu.units: \"0.0001\" is not CPU cores such as 2, 0.5 or 500m, in whole thousandths [INVALID_VALUE]",
        "17:24 profiles.compute.web.resources.memory.size: 512 bytes; the chain takes 1048576 to 2199023255552 for one unit [INVALID_VALUE]",
        "22:22 profiles.placement.default.pricing.web.denom: \"u\" is not a denomination [INVALID_VALUE] (for example uve)",
        "25:24 deployment.Web.default.profile: there is no compute profile \"wbe\" [UNDEFINED_REFERENCE]",
        // The count is wrong once and said at both places.
        "25:36 deployment.Web.default.count: count 2 here, but 3 at the service [CONFLICT]",
    ];
    assert_eq!(refused(&example("ten-mistakes.yaml")), expected);
}

#[test]
fn ten_mistakes_of_v1_are_all_named() {
    let found = refused(&example("ten-mistakes-v1.json"));
    let places: Vec<&str> = found.iter().filter_map(|line| line.split(' ').next()).collect();
    let expected = [
        "3:11", "7:15", "9:28", "9:41", "9:57", "11:28", "11:43", "13:28", "13:53", "14:19", "15:25",
    ];
    assert_eq!(places, expected, "{found:#?}");
}

#[test]
fn yaml_and_json_of_one_manifest_are_one_manifest() {
    let json = r#"{"version":"v2beta1","services":{"web":{"image":"bubuntux/riot-web","expose":[{"port":80,
        "accept":["test.localhost"],"to":[{"global":true}]}]}},"profiles":{"compute":{"web":{"resources":{"cpu":
        {"units":"0.01"},"memory":{"size":"128Mi"},"storage":{"size":"512Mi"}}}},"placement":{"global":{"pricing":
        {"web":{"denom":"uve","amount":30}}}}},"deployment":{"web":{"global":{"profile":"web","count":1}}}}"#;
    assert_eq!(valid(json).hash(), valid(&example("riot-web.yaml")).hash());
}

#[test]
fn a_manifest_survives_storage_and_only_a_valid_one_does() {
    for file in VALID {
        let manifest = valid(&example(file));
        let stored = serde_json::to_string(&manifest).unwrap();
        let again: ValidManifest = serde_json::from_str(&stored).unwrap();
        assert_eq!(again, manifest);
    }
    let forged = serde_json::json!({"text": example("ten-mistakes.yaml")}).to_string();
    let error = serde_json::from_str::<ValidManifest>(&forged)
        .unwrap_err()
        .to_string();
    assert!(error.contains("3:3 services.Web"), "{error}");
}

#[test]
fn secrets_of_the_tenant_are_not_in_debug_output() {
    let shown = format!("{:?}", valid(&example("two-placements.yaml")));
    assert!(
        !shown.contains("hunter2") && !shown.contains("POSTGRES"),
        "{shown}"
    );
}

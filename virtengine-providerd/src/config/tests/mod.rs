use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use virtengine_provider_core::document::Problem;
use virtengine_provider_core::ports::signer::Algorithm;
use virtengine_provider_core::units::{GIB, Resources};

use super::adapters::Backend;
use super::*;

mod startable;
mod template;

const ALICE: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";

fn fixture(name: &str) -> String {
    let path = format!("{}/tests/config/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect("the fixtures are in the repository")
}

fn no_env(_: &str) -> Option<String> {
    None
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn valid(text: &str) -> Config {
    valid_with(text, &[])
}

fn valid_with(text: &str, env: &[(&str, &str)]) -> Config {
    let env: BTreeMap<&str, &str> = env.iter().copied().collect();
    match parse(text.as_bytes(), &|name| {
        env.get(name).map(|&value| value.to_owned())
    }) {
        Ok(config) => config,
        Err(problems) => panic!("refused:\n{}", lines(&problems).join("\n")),
    }
}

fn refused(text: &str) -> Vec<String> {
    match parse(text.as_bytes(), &no_env) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(problems) => lines(&problems),
    }
}

#[test]
fn the_training_documents_first_file_is_accepted_verbatim() {
    let config = valid(&fixture("training-provider.yaml"));
    assert_eq!(
        config.provider.address,
        Some(ProviderAddress::Placeholder("virtengine1provider...".to_owned()))
    );
    assert_eq!(
        lines(&config.placeholders()),
        [
            "2:12 provider.address: \"virtengine1provider...\" is a placeholder address [PLACEHOLDER] (replace it by your ve1... address before start; keys status shows it)"
        ]
    );
    assert!(config.unavailable().is_empty());
    assert_eq!(config.bid_engine, Config::defaults().bid_engine);
    assert_eq!(config.pricing, Config::defaults().pricing);
    assert_eq!(config.pricing.bid_markup_percent.to_string(), "10");
    assert_eq!(config.pricing.cpu_price_per_core.to_string(), "0.001");
    assert_eq!(config.capacity.total_cpu_millis, Some(128_000));
    assert_eq!(config.capacity.reserved.memory_bytes, 16 * GIB);
}

#[test]
fn every_other_file_of_the_training_document_is_accepted_verbatim() {
    let keys = valid(&fixture("training-key-manager.yaml"));
    let hsm = keys.key_manager.hsm.as_ref().unwrap();
    assert_eq!(
        (hsm.slot_id, hsm.token_label.as_deref()),
        (Some(0), Some("virtengine-provider"))
    );
    assert_eq!(
        keys.key_manager.ledger.as_ref().unwrap().derivation_path,
        "m/44'/118'/0'/0/0"
    );
    assert!(keys.unavailable().is_empty());

    let kubernetes = valid(&fixture("training-kubernetes.yaml"));
    let adapter = kubernetes.adapters.kubernetes.as_ref().unwrap();
    assert_eq!(adapter.resource_limits.max_cpu_per_pod, 8000);
    assert_eq!(adapter.resource_limits.max_memory_per_pod, 32 * GIB);
    assert!(adapter.storage_classes[0].default && !adapter.storage_classes[1].default);
    assert_eq!(kubernetes.unavailable().is_empty(), cfg!(feature = "kubernetes"));

    let clouds = valid_with(&fixture("training-clouds.yaml"), &[("WALDUR_TOKEN", "t0k3n")]);
    assert_eq!(
        clouds.adapters.enabled(),
        [Backend::Waldur, Backend::OpenStack, Backend::Aws, Backend::Azure]
    );
    assert_eq!(clouds.unavailable().len(), 4);
    assert_eq!(
        clouds
            .adapters
            .waldur
            .as_ref()
            .unwrap()
            .token
            .as_ref()
            .unwrap()
            .reveal(),
        "t0k3n"
    );
    assert!(clouds.adapters.openstack.as_ref().unwrap().networks[0].external);

    let metering = valid(&fixture("training-metering.yaml"));
    assert_eq!(metering.metering.interval, Duration::from_secs(3600));
    assert_eq!(metering.metering.provider_id.as_deref(), Some("provider1"));
    assert_eq!(metering.metering.alerts, Config::defaults().metering.alerts);
}

#[test]
fn all_files_of_the_training_document_are_one_file() {
    let clouds = fixture("training-clouds.yaml").replacen("adapters:\n", "", 1);
    let whole = [
        fixture("training-provider.yaml"),
        fixture("training-key-manager.yaml"),
        fixture("training-kubernetes.yaml"),
        clouds,
        fixture("training-metering.yaml"),
    ]
    .join("\n");
    let config = valid_with(&whole, &[("WALDUR_TOKEN", "x")]);
    assert_eq!(config.adapters.enabled().len(), 5);
    assert_eq!(config.key_manager.storage_type, KeyStorage::File);
}

#[test]
fn the_defaults_are_those_of_the_training_document() {
    let config = Config::defaults();
    let engine = &config.bid_engine;
    assert_eq!(
        (
            engine.max_bids_per_minute,
            engine.max_bids_per_hour,
            engine.max_concurrent_bids,
            engine.max_bid_retries
        ),
        (10, 100, 5, 3)
    );
    let seconds = [
        engine.bid_retry_delay,
        engine.config_poll_interval,
        engine.order_poll_interval,
    ]
    .map(|d| d.as_secs());
    assert_eq!(seconds, [5, 30, 5]);
    assert_eq!(config.key_manager.default_algorithm, Algorithm::Ed25519);
    assert_eq!(
        (
            config.key_manager.key_rotation_days,
            config.key_manager.grace_period_hours
        ),
        (90, 24)
    );
    assert_eq!(config.metering.interval, Duration::from_secs(3600));
    assert_eq!(config.chain.endpoints, ["http://127.0.0.1:26657"]);
    assert_eq!(config.chain.denom.as_str(), "uve");
    assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(
        config.gateway.operator_socket,
        Path::new("/var/lib/virtengine/provider/operator.sock")
    );
    assert!(config.provider.account().is_none());
    assert_eq!(config.placeholders().len(), 1);
}

#[test]
fn ten_mistakes_are_ten_problems_with_their_places() {
    let expected = [
        "2:12 provider.address: \"ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86g\" is not an address [INVALID_VALUE] (check for a missing or wrong letter; the last six are a checksum)",
        "4:3 bid_engine.max_bids_per_minut: no such key here [UNKNOWN_FIELD] (did you mean max_bids_per_minute?)",
        "5:22 bid_engine.max_bids_per_hour: \"0\" is not a whole number between 1 and 600000 [INVALID_VALUE]",
        "6:20 bid_engine.bid_retry_delay: \"5 seconds\" is not a duration such as 30s, 5m or 1h30m [INVALID_VALUE]",
        "8:23 pricing.cpu_price_per_core: \"-0.001\" is not a decimal such as 0.025 [INVALID_VALUE]",
        "9:13 pricing.currency: the chain's money is VIRT (in units of uve) [CONFLICT] (use one of them, or set chain.display and chain.denom)",
        "12:23 capacity.reserved_cpu_cores: more is reserved than there is in total [CONFLICT]",
        "14:17 key_manager.storage_type: \"files\" is not allowed here [INVALID_VALUE] (did you mean file?)",
        "15:12 key_manager.key_dir: \"keys\" is not an absolute path [INVALID_VALUE]",
        "17:13 metering.interval: 30s is not between 1m and 1day [INVALID_VALUE]",
        "19:11 gateway.listen: \"localhost\" is not an address with a port [INVALID_VALUE] (for example 127.0.0.1:8443 or [::1]:8443)",
    ];
    assert_eq!(refused(&fixture("ten-mistakes.yaml")), expected);
}

#[test]
fn variables_are_expanded_and_their_absence_is_a_problem_at_its_place() {
    let text = "chain:\n  endpoints: [\"http://${HOST}:${PORT:-26657}\"]\n  chain_id: ${CHAIN:-a-1}\n  display: $${HOST}\nlogging: {level: '${LEVEL}'}\npricing: {currency: uve}\n";
    let config = valid_with(
        text,
        &[("HOST", "node.example.com"), ("CHAIN", ""), ("LEVEL", "debug")],
    );
    assert_eq!(config.chain.endpoints, ["http://node.example.com:26657"]);
    assert_eq!(config.chain.chain_id, "a-1");
    assert_eq!(config.chain.display, "${HOST}");
    assert_eq!(config.logging.level, LogLevel::Debug);
    let found = refused(text);
    assert_eq!(
        found[0],
        "2:15 chain.endpoints[0]: the environment variable HOST is not set [UNSET_VARIABLE] (set it, or write ${HOST:-default})"
    );
    assert!(
        found
            .iter()
            .any(|line| line.contains("5:18 logging.level: the environment variable LEVEL is not set")),
        "{found:?}"
    );
    for broken in ["${", "${}", "${1A}", "${A B}", "${A"] {
        let found = refused(&format!("chain: {{chain_id: \"{broken}\"}}"));
        assert!(
            found[0].contains("not closed or has no legal name"),
            "{broken}: {found:?}"
        );
    }
}

#[test]
fn variables_are_expanded_once_and_only_in_values() {
    let config = valid_with("chain: {chain_id: '${A}'}", &[("A", "${B}"), ("B", "no")]);
    assert_eq!(config.chain.chain_id, "${B}");
    assert!(refused("chain: {'${A}': x}")[0].contains("no such key here"));
}

#[test]
fn secrets_appear_nowhere() {
    let text = "adapters:\n  waldur: {api_url: 'https://w.example.com', token: \"${T}\"}\n  aws: {secret_access_key: hunter2}\n\
                key_manager: {passphrase: hunter2, hsm: {pin: \"${T}\"}, non_custodial: {token: hunter2}}\n";
    let config = valid_with(text, &[("T", "hunter2")]);
    assert_eq!(
        config.key_manager.passphrase.as_ref().unwrap().reveal(),
        "hunter2"
    );
    let debug = format!("{config:?}");
    let json = serde_json::to_string(&config).unwrap();
    for shown in [&debug, &json] {
        assert!(
            shown.contains("REDACTED") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}

#[test]
fn a_secret_in_the_file_itself_is_said() {
    let text = "adapters:\n  aws:\n    secret_access_key: hunter2\n    session_token: ${T}\n";
    let config = valid_with(text, &[("T", "hunter2")]);
    assert_eq!(
        lines(config.notices())[2],
        "3:24 adapters.aws.secret_access_key: a secret stands in the file itself [PLAIN_SECRET] (write ${VARIABLE}, and set it where the daemon is started)"
    );
    assert_eq!(
        config.notices().len(),
        3,
        "one for the missing address, one for the missing back end, one for the key"
    );
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let env = |name: &str| (name == "T").then(|| "hunter2".to_owned());
    for text in [
        "capacity: {total_gpus: \"${T}\"}",
        "logging: {level: \"${T}\"}",
        "provider: {address: \"${T}\"}",
        "provider: {host_uri: \"https://bob:hunter2@example.com\"}",
        "gateway: {listen: \"${T}\"}",
        "key_manager: {key_dir: \"${T}\"}",
        "bid_engine: {bid_retry_delay: \"${T}\", allowed_owners: [\"${T}\"]}",
        "pricing: {cpu_price_per_core: \"${T}\"}",
    ] {
        let problems = lines(&parse(text.as_bytes(), &env).unwrap_err()).join("\n");
        assert!(!problems.contains("hunter2"), "{text}: {problems}");
    }
}

#[test]
fn an_address_must_have_the_prefix_of_the_chain() {
    let config = valid(&format!("provider: {{address: {ALICE}}}"));
    assert_eq!(config.provider.account().unwrap().as_str(), ALICE);
    assert!(config.placeholders().is_empty());
    let found = refused(&format!(
        "provider: {{address: {ALICE}}}\nchain: {{address_prefix: cosmos}}"
    ));
    assert!(
        found[0].contains("the address begins with ve, not with cosmos"),
        "{found:?}"
    );
    assert!(refused("provider: {address: ve1nobody}")[0].contains("is not an address"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of rules reads best in one piece")]
fn what_does_not_fit_together_is_refused() {
    for (text, expected) in [
        (
            "provider: {state_dir: /a}\nstorage: {dir: /b}",
            "storage.dir: provider.state_dir names another directory [CONFLICT]",
        ),
        (
            "gateway: {listen: '127.0.0.1:1', metrics_listen: '127.0.0.1:1'}",
            "gateway.metrics_listen: the same as listen [CONFLICT]",
        ),
        (
            "gateway: {tls: {cert: /a}}",
            "gateway.tls.key: required, but not there [REQUIRED_FIELD]",
        ),
        (
            "bid_engine: {max_bids_per_minute: 9, max_bids_per_hour: 8}",
            "max_bids_per_hour: must not be below max_bids_per_minute",
        ),
        (
            "key_manager: {key_rotation_days: 1, grace_period_hours: 25}",
            "grace_period_hours: longer than key_rotation_days",
        ),
        (
            "key_manager: {passphrase: a, passphrase_file: /b}",
            "key_manager.passphrase: passphrase_file is set as well",
        ),
        (
            "key_manager: {storage_type: hardware}",
            "key_manager.hsm: storage_type hardware needs hsm.library_path [REQUIRED_FIELD]",
        ),
        (
            "key_manager: {ledger: {derivation_path: 44/118}}",
            "ledger.derivation_path: \"44/118\" is not a path such as",
        ),
        (
            "chain: {endpoints: []}",
            "chain.endpoints: at least one endpoint is needed",
        ),
        (
            "chain: {endpoints: [localhost]}",
            "chain.endpoints[0]: \"localhost\" is not an http or https URL",
        ),
        (
            "chain: {gas_adjustment: 0.5}",
            "chain.gas_adjustment: must be between 1.5 and 5",
        ),
        (
            "chain: {gas_adjustment: 1.4}",
            "1:25 chain.gas_adjustment: must be between 1.5 and 5",
        ),
        (
            "chain: {timeout_blocks: 1001}",
            "chain.timeout_blocks: \"1001\" is not a whole number between 2 and 1000",
        ),
        (
            "chain: {endpoints: ['http://node.example.com/#a']}",
            "1:21 chain.endpoints[0]: not an endpoint such as http://127.0.0.1:26657: a fragment makes no sense here",
        ),
        (
            &format!("chain: {{chain_id: {}}}", "c".repeat(51)),
            "is not the name of a chain, of at most 50 bytes",
        ),
        (
            "pricing: {memory_price_per_gb: 99999999999999}",
            "1:32 pricing.memory_price_per_gb: too large to be computed exactly [INVALID_VALUE] (check the unit",
        ),
        (
            "metering: {interval: 90s500ms}",
            "metering.interval: a window is whole seconds long [INVALID_VALUE] (for example 90s)",
        ),
        (
            "chain: {gas_price: 1, gas_price_max: 0.5}",
            "chain.gas_price_max: must not be below gas_price",
        ),
        (
            "pricing: {bid_markup_percent: 1001}",
            "pricing.bid_markup_percent: more than 1000 percent",
        ),
        (
            "adapters: {local: {ports: {first: 9, last: 8}}}",
            "adapters.local.ports.last: must not be below first",
        ),
        (
            "adapters: {local: {images: [{image: a}]}}",
            "adapters.local.images[0].command: required, but not there",
        ),
        (
            "adapters: {docker: {}}",
            "adapters.docker: no such key here [UNKNOWN_FIELD]",
        ),
        (
            "adapters: {aws: {enabled: true}}",
            "adapters.aws.region: required, but not there",
        ),
        (
            "provider: {region: a, attributes: {region: b}}",
            "provider.region: attributes.region says something else",
        ),
        (
            &format!("storage: {{dir: /{}}}", "d".repeat(100)),
            "gateway.operator_socket: longer than the 107 bytes",
        ),
        (
            "bid_engin: {}",
            "bid_engin: no such key here [UNKNOWN_FIELD] (did you mean bid_engine?)",
        ),
        ("- a", "expected a map of keys and values"),
        ("a: &b c", "anchors (&name) are not read"),
    ] {
        let found = refused(text);
        assert!(
            found.iter().any(|line| line.contains(expected)),
            "{text}: expected {expected:?}, found {found:#?}"
        );
    }
}

#[test]
fn a_key_storage_that_this_build_lacks_is_legal_and_said() {
    let config = valid("key_manager: {storage_type: hardware, hsm: {library_path: /usr/lib/p11.so}}");
    assert_eq!(config.key_manager.storage_type, KeyStorage::Hardware);
    assert!(config.unavailable()[0].path.ends_with("storage_type"));
    assert!(
        valid("adapters: {aws: {enabled: false}}")
            .unavailable()
            .is_empty()
    );
}

#[test]
fn the_smaller_ceiling_counts_and_the_reserve_is_kept_back() {
    let capacity =
        valid("capacity: {total_cpu_cores: 8, reserved_cpu_cores: 1.5, reserved_gpus: 3}").capacity;
    let observed = Resources {
        cpu_millis: 16_000,
        memory_bytes: 4 * GIB,
        storage_bytes: GIB,
        gpus: 2,
    };
    let sellable = capacity.sellable(&observed);
    assert_eq!(
        sellable,
        Resources {
            cpu_millis: 6500,
            gpus: 0,
            ..observed
        }
    );
}

#[test]
fn the_flag_wins_over_the_variable_and_the_variable_over_the_default() {
    let env = |name: &str| (name == PATH_VARIABLE).then(|| "/from/env.yaml".to_owned());
    let path = |located: Located| (located.path.display().to_string(), located.source);
    assert_eq!(
        path(locate(Some(Path::new("mine.yaml")), env)),
        ("mine.yaml".to_owned(), Source::Flag)
    );
    assert_eq!(
        path(locate(None, env)),
        ("/from/env.yaml".to_owned(), Source::Environment)
    );
    assert_eq!(
        path(locate(None, |_| Some(String::new()))),
        (DEFAULT_PATH.to_owned(), Source::Default)
    );
}

#[test]
fn a_file_is_loaded_with_its_path_and_its_problems_name_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("provider-config.yaml");
    std::fs::write(&path, "logging:\n  level: ${LEVEL}\n").unwrap();
    let loaded = load_with(&path, &|_| Some("warn".to_owned())).unwrap();
    assert_eq!(
        (loaded.path.as_path(), loaded.config.logging.level),
        (path.as_path(), LogLevel::Warn)
    );

    let error = load_with(&path, &no_env).unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.starts_with(&format!("{}:2:10 logging.level: ", path.display())),
        "{shown}"
    );

    let error = load_with(&dir.path().join("absent"), &no_env).unwrap_err();
    assert!(error.io.is_some() && error.problems.is_empty());
    let error = load_with(dir.path(), &no_env).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");

    std::fs::write(&path, "#".repeat(2 << 20)).unwrap();
    assert!(
        load_with(&path, &no_env)
            .unwrap_err()
            .to_string()
            .contains("MAX_EXCEEDED")
    );
}

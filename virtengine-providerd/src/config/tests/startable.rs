use super::*;

const READY: &str =
    "provider: {address: ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f}\nadapters: {local: {enabled: true}}\n";

fn blockers(text: &str) -> Vec<String> {
    lines(&valid(text).blockers())
}

#[test]
fn a_file_with_an_address_and_a_back_end_can_be_started_with() {
    let config = valid(READY);
    assert_eq!(lines(config.notices()), Vec::<String>::new());
    assert_eq!(lines(&config.blockers()), Vec::<String>::new());
    let memory = READY.replace("local", "memory");
    assert_eq!(
        blockers(&memory),
        Vec::<String>::new(),
        "memory is for tests, and works"
    );
}

#[test]
fn what_keeps_the_daemon_from_starting_is_said_with_its_place_and_what_to_do() {
    for (change, expected) in [
        (
            ("local: {enabled: true}", "local: {enabled: false}"),
            "2:11 adapters: no back end is enabled: there is nothing to run workloads on [REQUIRED_FIELD] (set adapters.local.enabled: true (processes of this host, without isolation))",
        ),
        (
            (
                "local: {enabled: true}",
                "local: {enabled: true}, memory: {enabled: true}",
            ),
            "2:11 adapters: this build runs one back end at a time, not local and memory [NOT_AVAILABLE] (set enabled: false for all but one)",
        ),
        (
            (
                "local: {enabled: true}",
                "local: {enabled: true}, ansible: {enabled: true, playbook_dir: /p, inventory: /i}",
            ),
            "2:45 adapters.ansible: the back end ansible is not available in this build [NOT_AVAILABLE] (set enabled: false; available: BACK_ENDS)",
        ),
        (
            ("adapters:", "key_manager: {storage_type: memory}\nadapters:"),
            "2:29 key_manager.storage_type: a key storage in memory forgets its keys with the process that made them [NOT_AVAILABLE] (set storage_type: file)",
        ),
        (
            ("adapters:", "key_manager: {storage_type: ledger}\nadapters:"),
            "2:29 key_manager.storage_type: this kind of key storage is not available in this build [NOT_AVAILABLE] (set storage_type: file)",
        ),
        (
            ("ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f", "<your address>"),
            "1:21 provider.address: \"<your address>\" is a placeholder address [PLACEHOLDER] (replace it by your ve1... address before start; keys status shows it)",
        ),
    ] {
        let text = READY.replace(change.0, change.1);
        let available = if cfg!(feature = "kubernetes") {
            "kubernetes, local, memory"
        } else {
            "local, memory"
        };
        let expected = expected.replace("BACK_ENDS", available);
        assert_eq!(blockers(&text), [expected], "{text}");
    }
    // All at once.
    assert_eq!(blockers("key_manager: {storage_type: memory}").len(), 3);
}

#[test]
fn what_nothing_comes_of_is_said_where_it_stands_and_keeps_nothing_from_starting() {
    let text = "provider:\n  address: ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f\n  name: Example\n  contact_email: a@b\n  website: https://example.com\n\
                key_manager:\n  key_rotation_days: 90\n  grace_period_hours: 24\nadapters: {local: {enabled: true}}\n";
    let config = valid(text);
    assert!(config.blockers().is_empty());
    let told =
        "it is told neither to tenants nor to the chain [NOT_CARRIED_OUT] (it may stay, or be left out)";
    let kept = "keys are not rotated [NOT_CARRIED_OUT] (it may stay, or be left out)";
    let expected = [
        ("3:9 provider.name", told),
        ("4:18 provider.contact_email", told),
        ("5:12 provider.website", told),
        ("7:22 key_manager.key_rotation_days", kept),
        ("8:23 key_manager.grace_period_hours", kept),
    ]
    .map(|(place, why)| format!("{place}: has no effect in this build: {why}"));
    assert_eq!(lines(config.notices()), expected);
}

/// The extremes of everything that the client of the chain looks at.
#[test]
fn what_is_valid_here_is_valid_for_the_client_of_the_chain() {
    let sixteen = vec!["http://127.0.0.1:26657"; 16].join(", ");
    for chain in [
        "{}".to_owned(),
        "{gas_adjustment: 1.5, timeout_blocks: 2, block_time: 100ms, request_timeout: 1s}".to_owned(),
        "{gas_adjustment: 5, timeout_blocks: 1000, block_time: 10m, request_timeout: 2m}".to_owned(),
        format!("{{endpoints: [{sixteen}], exponent: 18, address_prefix: abcdefghijklmnopqrst}}"),
        format!("{{chain_id: {}, exponent: 0}}", "c".repeat(50)),
    ] {
        // In base units: prices in a display unit of 10^18 would be too large.
        let config = valid(&format!("chain: {chain}\npricing: {{currency: uve}}"));
        if let Err(error) = crate::daemon::chain_config(&config) {
            panic!("{chain}: {error}");
        }
    }
    let seventeen = vec!["http://127.0.0.1:26657"; 17].join(", ");
    let found = refused(&format!("chain: {{endpoints: [{seventeen}]}}"));
    assert!(
        found[0].contains("chain.endpoints: 17 endpoints are more than 16"),
        "{found:?}"
    );
}

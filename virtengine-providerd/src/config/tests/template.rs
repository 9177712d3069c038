use super::*;

#[test]
fn the_template_is_valid_and_says_the_defaults() {
    let config = valid(template());
    assert_eq!(
        serde_json::to_value(&config.adapters.local).unwrap(),
        serde_json::to_value(&valid("adapters: {local: {}}").adapters.local).unwrap()
    );
    // Sections of back ends exist only when the file names them.
    let mut defaults = Config::defaults();
    defaults.adapters = config.adapters.clone();
    assert_eq!(
        serde_json::to_value(&config).unwrap(),
        serde_json::to_value(&defaults).unwrap()
    );
    assert!(config.adapters.enabled().is_empty());
    assert_eq!(
        lines(config.notices()),
        lines(&config.blockers()),
        "only what nobody can know: the address and the back end"
    );
    assert_eq!(config.blockers().len(), 2);
}

/// The file with its commented keys switched on, as an operator would who needs them.
fn everything() -> String {
    let mut text = String::new();
    for line in template().lines() {
        let bare = line.trim_start();
        let key = bare.strip_prefix('#').map(str::trim_start);
        let is_key = key.is_some_and(|key| {
            let key = key.strip_prefix("- ").unwrap_or(key);
            let name = key.split(':').next().unwrap_or("");
            let legal = |c: char| c.is_ascii_lowercase() || c == '_';
            !name.is_empty() && name.chars().all(legal) && key.contains(':') && !key.ends_with('.')
        });
        if is_key {
            text.push_str(&line.replacen("# ", "", 1).replacen("#  ", "  ", 1));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    text
}

#[test]
fn every_commented_key_of_the_template_is_a_key() {
    let text = everything()
        .replace("images: []", "images:")
        .replace("passphrase: ${", "# passphrase: ${")
        .replace("pin: ${", "# pin: ${")
        .replace("ve1...", ALICE);
    let env = |_: &str| Some("x".to_owned());
    match parse(text.as_bytes(), &env) {
        Ok(config) => assert_eq!(config.adapters.enabled().len(), 7),
        Err(problems) => panic!("{}\n{text}", lines(&problems).join("\n")),
    }
}

#[test]
fn the_template_documents_every_key() {
    use crate::config::adapters::*;
    use crate::config::parse;
    let sections: [(&str, &[&str]); 30] = [
        ("the file", parse::KEYS),
        ("provider", Provider::KEYS),
        ("chain", Chain::KEYS),
        ("bid_engine", BidEngine::KEYS),
        ("pricing", Pricing::KEYS),
        ("capacity", Capacity::KEYS),
        ("key_manager", KeyManager::KEYS),
        ("hsm", Hsm::KEYS),
        ("ledger", Ledger::KEYS),
        ("non_custodial", NonCustodial::KEYS),
        ("adapters", Adapters::KEYS),
        ("kubernetes", Kubernetes::KEYS),
        ("resource_limits", ResourceLimits::KEYS),
        ("network_policies", NetworkPolicies::KEYS),
        ("storage_classes", StorageClass::KEYS),
        ("waldur", Waldur::KEYS),
        ("openstack", OpenStack::KEYS),
        ("networks", Network::KEYS),
        ("aws", Aws::KEYS),
        ("azure", Azure::KEYS),
        ("vmware", Vmware::KEYS),
        ("defaults", VmDefaults::KEYS),
        ("ansible", Ansible::KEYS),
        ("local", Local::KEYS),
        ("images", ImageCommand::KEYS),
        ("ports", PortRange::KEYS),
        ("memory", Memory::KEYS),
        ("metering", Metering::KEYS),
        ("alerts", Alerts::KEYS),
        ("gateway", Gateway::KEYS),
    ];
    let more: [(&str, &[&str]); 5] = [
        ("tls", Tls::KEYS),
        ("logging", Logging::KEYS),
        ("manifest", Manifest::KEYS),
        ("settlement", Settlement::KEYS),
        ("storage", Storage::KEYS),
    ];
    let documented = |key: &str| {
        template().lines().any(|line| {
            let bare = line.trim_start().trim_start_matches('#').trim_start();
            let bare = bare.strip_prefix("- ").unwrap_or(bare);
            bare.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))
                || line.contains(&format!("{{{key}:"))
                || line.contains(&format!(", {key}:"))
        })
    };
    for (section, keys) in sections.iter().chain(&more) {
        for key in *keys {
            assert!(documented(key), "{section}.{key} is not in the template");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_damage_to_the_template_makes_reading_panic(
        at in 0..20_000_usize,
        removed in 0..40_usize,
        inserted in "[-:#'\"${}\\[\\] \n\\\\a1&*.~]{0,6}",
    ) {
        let text = everything();
        let at = at % text.len();
        if let (Some(before), Some(after)) = (text.get(..at), text.get((at + removed).min(text.len())..)) {
            let env = |name: &str| name.len().is_multiple_of(2).then(|| "x".to_owned());
            let _ = parse(format!("{before}{inserted}{after}").as_bytes(), &env);
        }
    }
}

use crate::program::Program;

/// Every command that does something.
const COMMANDS: &[&str] = &[
    "config generate",
    "config validate",
    "config show",
    "manifest validate",
    "start",
    "stop",
    "status",
    "chain ping",
    "bid-engine status",
    "bids list",
    "orders list",
    "leases list",
    "explain",
    "workload deploy",
    "workload status",
    "workload list",
    "workload pause",
    "workload resume",
    "workload stop",
    "workload terminate",
    "usage list",
    "keys init",
    "keys generate",
    "keys import",
    "keys status",
    "keys set-policy",
    "keys test-sign",
    "logs",
    "adapter check",
    "doctor",
    "tenant account",
    "tenant deployment create",
    "tenant deployment close",
    "tenant bids",
    "tenant lease create",
    "tenant lease close",
    "tenant manifest send",
    "tenant manifest status",
    "tenant status",
    "tenant logs",
    "tenant escrow create",
    "tenant escrow activate",
    "tenant escrow list",
    "devnet",
    "completions",
];

#[test]
fn every_command_teaches_with_an_example_of_itself() {
    let program = Program::new();
    for command in COMMANDS {
        let mut args: Vec<_> = command.split(' ').collect();
        args.push("--help");
        let help = program.run(&args).ok();
        assert!(help.contains("Examples:"), "{command}:\n{help}");
        assert!(
            help.contains(&format!("virtengine-provider {command}")),
            "{command}:\n{help}"
        );
    }
}

#[test]
fn the_long_help_lists_the_exit_codes() {
    let program = Program::new();
    let help = program.run(&["--help"]).ok();
    assert!(
        help.contains("Exit codes:") && help.contains("the daemon is not running"),
        "{help}"
    );
    let bare = program.run(&[]);
    assert_eq!(bare.code, 2);
    assert!(bare.err.contains("Usage:"), "{}", bare.err);
}

#[test]
fn wrong_usage_has_code_2_and_json_when_asked_for() {
    let program = Program::new();
    for args in [
        &["workload", "status", "Not/An/Id"] as &[_],
        &["bids", "list", "--last", "0"],
        &["explain", "7"],
        &["workload", "list", "--state", "sleeping"],
        &["logs", "--level", "loud"],
        &["nonsense"],
        &["devnet", "--tenants", "5"],
        &["devnet", "--tenants", "0"],
    ] {
        program.run(args).fails(2);
        let json = program.run(&[args, &["--output", "json"]].concat());
        let error: serde_json::Value = serde_json::from_str(&json.err).unwrap();
        assert_eq!(
            (json.code, &error["error"]["code"]),
            (2, &serde_json::json!("usage"))
        );
    }
}

#[test]
fn completions_know_the_commands() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = program.run(&["completions", shell]).ok();
        assert!(
            script.contains("bid-engine") && script.contains("test-sign"),
            "{shell}"
        );
    }
}

#[test]
fn the_version_is_that_of_the_family() {
    let version = Program::new().run(&["--version"]).ok();
    assert_eq!(
        version.trim(),
        concat!("virtengine-provider ", env!("CARGO_PKG_VERSION"))
    );
}

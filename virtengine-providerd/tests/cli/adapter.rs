use std::os::unix::net::UnixListener;

use crate::program::Program;

fn with(adapters: &str) -> Program {
    let program = Program::new();
    let config = std::fs::read_to_string(program.path("config.yaml")).unwrap();
    program.write("config.yaml", &format!("{config}adapters:\n{adapters}"), 0o644);
    program
}

fn memory() -> Program {
    with("  memory: {enabled: true}\n")
}

#[test]
fn the_configured_back_end_is_checked_rule_by_rule_after_a_warning() {
    let ran = memory().run(&["adapter", "check"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(
        ran.err
            .starts_with("warning: this makes, stops and removes workloads"),
        "{}",
        ran.err
    );
    let line = |rule: &str| {
        ran.out
            .lines()
            .find(|line| line.ends_with(rule))
            .unwrap()
            .to_owned()
    };
    assert!(line("deploying_again_is_the_same_workload").starts_with("passed"));
    assert!(line("every_call_of_a_deploy_may_be_slow").starts_with("not applicable"));
    assert!(ran.out.ends_with("0 failed, 4 not applicable\n"), "{}", ran.out);
}

#[test]
fn scripts_get_the_report_alone_on_standard_output() {
    let ran = memory().run(&["adapter", "check", "--output", "json"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["back_end"], "memory");
    let rules = report["rules"].as_array().unwrap();
    assert!(
        rules.len() > 40 && rules.iter().all(|rule| rule["outcome"] != "failed"),
        "{report}"
    );
}

#[test]
fn a_back_end_that_cannot_be_used_is_refused() {
    let error = with("  memory: {enabled: false}\n")
        .run(&["adapter", "check"])
        .fails(3);
    assert!(error.contains("no adapter is enabled"), "{error}");
}

#[test]
fn nothing_is_checked_beside_a_daemon_unless_asked_for() {
    let program = memory();
    let socket = program.path("daemon.sock");
    // Somebody listens; what he says does not matter.
    let listener = UnixListener::bind(&socket).unwrap();
    let answers = std::thread::spawn(move || {
        for _ in 0..3 {
            drop(listener.accept().unwrap());
        }
    });
    let socket = socket.display().to_string();
    let error = program.run(&["adapter", "check", "--socket", &socket]).fails(1);
    assert!(
        error.contains("the daemon is running") && error.contains("--beside-daemon"),
        "{error}"
    );
    let ran = program.run(&["adapter", "check", "--socket", &socket, "--beside-daemon"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let local = with("  local: {enabled: true}\n");
    let error = local
        .run(&["adapter", "check", "--socket", &socket, "--beside-daemon"])
        .fails(1);
    assert!(error.contains("belongs to one process"), "{error}");
    answers.join().unwrap();
}

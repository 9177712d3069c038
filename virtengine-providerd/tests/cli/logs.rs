use virtengine_gateway::api::{LogEntry, LogLevel};
use virtengine_gateway::log::{LogRing, LogRingOptions};
use virtengine_provider_core::time::Timestamp;

use crate::program::Program;

#[test]
fn a_daemon_that_is_down_leaves_its_log_readable() {
    let program = Program::new();
    program.run(&["logs"]).fails(4);
    let ring = LogRing::open(LogRingOptions {
        file: Some(program.path("state/provider.log")),
        ..LogRingOptions::default()
    })
    .unwrap();
    for (second, level, message) in [
        (1, LogLevel::Info, "working"),
        (2, LogLevel::Error, "broken\u{1b}[31m"),
        (3, LogLevel::Warn, "odd"),
    ] {
        ring.push(LogEntry {
            at: Timestamp::from_seconds(second),
            level,
            target: "test".to_owned(),
            message: message.to_owned(),
            fields: [("order".to_owned(), "7".to_owned())].into(),
        });
    }
    let text = program.run(&["logs", "--tail", "100", "--level", "error"]).ok();
    assert!(text.contains("broken") && text.contains("order=7"), "{text}");
    assert!(!text.contains("working") && !text.contains('\u{1b}'), "{text:?}");
    let entries = program.run(&["logs", "--tail", "2", "--output", "json"]).json();
    assert_eq!(entries.as_array().unwrap().len(), 2);
    assert_eq!(entries[1]["message"], "odd");
    assert_eq!(entries[0]["at"], "1970-01-01T00:00:02.000Z");
}

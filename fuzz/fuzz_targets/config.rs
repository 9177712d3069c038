//! An operator's configuration, with environment variables that hold anything.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virtengine_providerd::config::parse;

fuzz_target!(|text: &[u8]| {
    let environment = |name: &str| match name {
        "HOME" => Some("/home/operator".to_owned()),
        "SECRET" => Some("${HOME}: [not, yaml".to_owned()),
        _ => None,
    };
    match parse(text, &environment) {
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            for problem in problems {
                let _ = problem.to_string();
            }
        }
        Ok(config) => {
            let _ = (format!("{config:?}"), config.unavailable(), config.placeholders());
            for notice in config.notices() {
                let _ = notice.to_string();
            }
        }
    }
});

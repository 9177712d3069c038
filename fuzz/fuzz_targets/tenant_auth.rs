//! Signed requests of tenants: a request line (`method path`), headers (`name: value`), an empty line, the body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virtengine_gateway::tenant::fuzzing::Gate;
use virtengine_provider_core::time::Timestamp;

/// The time of the requests in the corpus.
const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

fuzz_target!(|request: &[u8]| {
    let end = request
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .unwrap_or(request.len());
    let (head, rest) = request.split_at(end);
    let body = rest.get(2..).unwrap_or_default();
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = String::from_utf8_lossy(lines.next().unwrap_or_default());
    let (method, path) = line.split_once(' ').unwrap_or(("GET", "/"));
    let headers: Vec<(&[u8], &[u8])> = lines
        .filter_map(|line| {
            let colon = line.windows(2).position(|pair| pair == b": ")?;
            Some((&line[..colon], &line[colon + 2..]))
        })
        .collect();
    let provider = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq"
        .parse()
        .expect("an address");
    let gate = Gate::new(provider, "virtengine-1".to_owned(), NOW).expect("there is no file");
    match gate.admit(&headers, method, path, body, NOW) {
        Err(error) => {
            let _ = format!("{error:?}");
        }
        Ok(_) => {
            let again = gate.admit(&headers, method, path, body, NOW);
            assert!(again.is_err(), "the same request was taken twice");
            let longer = [body, b"x"].concat();
            let other = gate.admit(&headers, method, path, &longer, NOW);
            assert!(other.is_err(), "a signature was good for another body");
        }
    }
});

//! Every byte that a real node was seen to take or give.

use std::collections::BTreeMap;

use prost::Message as _;
use serde_json::Value;
use virtengine_chain::proto::cosmos::tx::v1beta1 as tx;
use virtengine_chain::rejection::{classify, classify_simulation};
use virtengine_chain::{account, message};
use virtengine_provider_core::id::TxHash;
use virtengine_provider_core::ports::chain::RejectKind;

use crate::types::reencode;

const CHAIN_ID: &str = "virtengine-localnet-1";

pub(crate) fn steps() -> Vec<Value> {
    include_str!("../recordings/node.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn file(step: &Value) -> &str {
    step["file"].as_str().unwrap()
}

/// Number of the step, e.g. `031`.
pub(crate) fn number(step: &Value) -> &str {
    &file(step)[..3]
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    // Three long answers were left out, with a note in brackets.
    let text = value.as_str().filter(|text| !text.starts_with('('))?;
    Some(hex::decode(text).unwrap())
}

/// Steps that send unknown fields or unknown types on purpose.
const MADE_UNREADABLE: &[&str] = &["171", "172", "173", "174"];

/// Steps whose sender wrote empty fields that nobody has to write.
const WRITES_EMPTY_FIELDS: &[&str] = &["307", "359"];

#[derive(Default)]
struct Count {
    same: usize,
    unknown: BTreeMap<String, usize>,
}

impl Count {
    fn check(&mut self, step: &Value, name: &str, bytes: &[u8]) {
        let name = name.trim_start_matches('/');
        match reencode(name, bytes) {
            None => *self.unknown.entry(name.to_owned()).or_default() += 1,
            Some(again) => {
                let again = again.unwrap_or_else(|error| panic!("{}: {name}: {error}", file(step)));
                if !WRITES_EMPTY_FIELDS.contains(&number(step)) {
                    assert_eq!(hex::encode(again), hex::encode(bytes), "{}: {name}", file(step));
                }
                self.same += 1;
            }
        }
    }

    fn check_hex(&mut self, step: &Value, name: &str, value: &Value) {
        if let Some(bytes) = bytes(value) {
            self.check(step, name, &bytes);
        }
    }

    fn check_raw(&mut self, step: &Value, value: &Value) {
        let Some(raw) = bytes(value) else { return };
        self.check(step, "cosmos.tx.v1beta1.TxRaw", &raw);
        let raw = tx::TxRaw::decode(raw.as_slice()).unwrap();
        self.check(step, "cosmos.tx.v1beta1.TxBody", &raw.body_bytes);
        self.check(step, "cosmos.tx.v1beta1.AuthInfo", &raw.auth_info_bytes);
    }
}

#[test]
fn every_recorded_message_survives_decoding() {
    let mut count = Count::default();
    for step in &steps() {
        if MADE_UNREADABLE.contains(&number(step)) {
            continue;
        }
        for list in ["messages", "msg_responses"] {
            for each in step[list].as_array().into_iter().flatten() {
                // The announcements of a WebSocket are called messages, too.
                if let Some(name) = each["type_url"].as_str() {
                    count.check_hex(step, name, &each["hex"]);
                }
            }
        }
        for each in step["items"].as_array().into_iter().flatten() {
            if let Some(name) = each["type_url"].as_str() {
                count.check_hex(step, name, &each["message_hex"]);
            }
        }
        for holder in [step, &step["first"], &step["second"]]
            .into_iter()
            .chain(step["txs"].as_array().into_iter().flatten())
        {
            for raw in ["tx_raw_hex", "simulate_request_tx_hex", "request_tx_hex"] {
                count.check_raw(step, &holder[raw]);
            }
            let answers = [&holder["broadcast"], &holder["broadcast_sync"]];
            for answer in answers {
                count.check_hex(
                    step,
                    "cosmos.tx.v1beta1.BroadcastTxResponse",
                    &answer["response_hex"],
                );
            }
            count.check_hex(
                step,
                "cosmos.tx.v1beta1.GetTxResponse",
                &holder["gettx_response_hex"],
            );
        }
        for answer in [&step["simulate"], &step["answer"]] {
            count.check_hex(
                step,
                "cosmos.tx.v1beta1.SimulateResponse",
                &answer["response_hex"],
            );
        }
        count.check_hex(step, "cosmos.tx.v1beta1.SignDoc", &step["sign_doc_hex"]);
        for (side, name) in [("request_hex", "request_type"), ("response_hex", "response_type")] {
            if let Some(name) = step[name].as_str() {
                count.check_hex(step, name, &step[side]);
            }
        }
    }
    println!(
        "{} messages decoded and encoded again; unknown: {:?}",
        count.same, count.unknown
    );
    assert!(count.same > 1500, "only {}", count.same);
    // What the node itself does not know, or answers with "unimplemented".
    let expected = [
        "virtengine.veid.v1.QueryIdentityScoreRequest",
        "virtengine.veid.v1.QueryIdentityScoreResponse",
    ];
    assert!(
        count.unknown.keys().all(|name| expected.contains(&name.as_str())),
        "{:?}",
        count.unknown
    );
}

#[test]
fn every_recorded_message_of_our_vocabulary_is_read_and_written_alike() {
    let (mut same, mut beyond) = (0, BTreeMap::<String, usize>::new());
    for step in &steps() {
        for each in step["messages"].as_array().into_iter().flatten() {
            let (Some(type_url), Some(value)) = (each["type_url"].as_str(), bytes(&each["hex"])) else {
                continue;
            };
            // These write zero with nineteen digits.
            let odd_zero = ["039", "524"].contains(&number(step));
            if MADE_UNREADABLE.contains(&number(step)) || odd_zero {
                continue;
            }
            let any = prost_types::Any {
                type_url: type_url.to_owned(),
                value,
            };
            match message::decode(&any) {
                Ok((sender, message)) => {
                    assert_eq!(message::encode(&message, &sender).unwrap(), any, "{}", file(step));
                    same += 1;
                }
                Err(error) => *beyond.entry(format!("{} {error}", number(step))).or_default() += 1,
            }
        }
    }
    println!("{same} messages alike; beyond our vocabulary:");
    for (what, times) in &beyond {
        println!("  {times} × {what}");
    }
    assert!(same >= 115, "{same}");
}

#[test]
fn recorded_documents_hashes_and_signatures_are_what_we_compute() {
    let (mut documents, mut hashes, mut signatures) = (0, 0, 0);
    for step in &steps() {
        let Some(raw) = bytes(&step["tx_raw_hex"]) else {
            continue;
        };
        if let Some(expected) = step["hash_expected"].as_str() {
            assert_eq!(TxHash::of(&raw).to_string(), expected, "{}", file(step));
            hashes += 1;
        }
        let Some(document) = bytes(&step["sign_doc_hex"]) else {
            continue;
        };
        let raw = tx::TxRaw::decode(raw.as_slice()).unwrap();
        let ours = tx::SignDoc {
            body_bytes: raw.body_bytes.clone(),
            auth_info_bytes: raw.auth_info_bytes.clone(),
            chain_id: CHAIN_ID.to_owned(),
            account_number: step["account_number"].as_u64().unwrap(),
        };
        // Two steps sign for another chain or with another account on purpose.
        let honest = ours.encode_to_vec() == document;
        documents += usize::from(honest);
        let auth = tx::AuthInfo::decode(raw.auth_info_bytes.as_slice()).unwrap();
        let key = account::public_key(auth.signer_infos[0].public_key.as_ref().unwrap()).unwrap();
        if step["final"]["code"] == 0 {
            assert!(
                honest && account::verifies(&key, &document, &raw.signatures[0]),
                "{}",
                file(step)
            );
            signatures += 1;
        }
    }
    println!("{hashes} hashes, {documents} documents, {signatures} signatures");
    assert!(hashes > 150 && documents > 150 && signatures > 70);
}

#[test]
fn refusals_keep_their_code_and_words_even_when_those_are_not_utf_8() {
    let mut refused = 0;
    for step in &steps() {
        let Some(answer) = bytes(&step["broadcast_sync"]["response_hex"]) else {
            continue;
        };
        let answer = tx::BroadcastTxResponse::decode(answer.as_slice())
            .unwrap()
            .tx_response
            .unwrap();
        let recorded = &step["broadcast_sync"];
        if recorded["code"].as_i64().unwrap() >= 0 {
            assert_eq!(
                u64::from(answer.code),
                recorded["code"].as_u64().unwrap(),
                "{}",
                file(step)
            );
            assert_eq!(answer.codespace, recorded["codespace"], "{}", file(step));
            assert_eq!(
                String::from_utf8_lossy(&answer.raw_log),
                recorded["raw_log"].as_str().unwrap()
            );
        } else {
            assert!(["310", "406"].contains(&number(step)));
            assert!(String::from_utf8(answer.raw_log.clone()).is_err());
        }
        refused += usize::from(answer.code != 0);
    }
    assert!(refused > 30, "{refused}");
    let unknown_account = steps().into_iter().find(|step| number(step) == "406").unwrap();
    let answer = bytes(&unknown_account["broadcast_sync"]["response_hex"]).unwrap();
    let answer = tx::BroadcastTxResponse::decode(answer.as_slice())
        .unwrap()
        .tx_response
        .unwrap();
    let log = String::from_utf8_lossy(&answer.raw_log);
    let rejection = classify(&answer.codespace, answer.code, &log);
    assert_eq!(rejection.kind, RejectKind::InsufficientFunds);
    assert!(
        rejection.log.contains("does not exist: unknown address"),
        "{}",
        rejection.log
    );
}

/// What each recorded failure means for a provider, by number of the step.
const MEANING: &[(&str, RejectKind)] = {
    use RejectKind::{
        AlreadyDone, FeeTooLow, InsufficientFunds, Invalid, NextBlock, NotEligible, OutOfGas,
        SequenceMismatch, StateChanged, TimedOut, Unauthorized,
    };
    &[
        ("026", AlreadyDone),
        ("034", AlreadyDone),
        ("035", NotEligible),
        ("036", Invalid),
        ("037", NotEligible),
        ("038", NotEligible),
        ("039", Invalid),
        ("040", NotEligible),
        ("041", NotEligible),
        ("042", StateChanged),
        ("043", Invalid),
        ("044", Invalid),
        ("045", NotEligible),
        ("051", Unauthorized),
        ("059", StateChanged),
        ("060", StateChanged),
        ("061", StateChanged),
        ("064", StateChanged),
        ("065", Invalid),
        ("067", AlreadyDone),
        ("068", Unauthorized),
        ("069", StateChanged),
        ("071", StateChanged),
        ("074", Unauthorized),
        ("075", Invalid),
        ("076", Invalid),
        ("077", Invalid),
        ("078", Invalid),
        ("079", Invalid),
        ("080", StateChanged),
        ("088", AlreadyDone),
        ("089", StateChanged),
        ("090", Unauthorized),
        ("101", NextBlock),
        ("103", Unauthorized),
        ("104", Unauthorized),
        ("105", StateChanged),
        ("106", Invalid),
        ("113", StateChanged),
        ("114", StateChanged),
        ("116", AlreadyDone),
        ("136", StateChanged),
        ("151", NotEligible),
        ("152", Invalid),
        ("153", Invalid),
        ("154", Invalid),
        ("155", Invalid),
        ("156", Invalid),
        ("158", AlreadyDone),
        ("160", Invalid),
        ("161", Invalid),
        ("162", SequenceMismatch),
        ("163", SequenceMismatch),
        ("164", Unauthorized),
        ("165", FeeTooLow),
        ("166", FeeTooLow),
        ("167", OutOfGas),
        ("168", Invalid),
        ("169", TimedOut),
        ("171", Invalid),
        ("172", Invalid),
        ("174", Invalid),
        ("175", Invalid),
        ("303", Unauthorized),
        ("311", StateChanged),
        ("327", StateChanged),
        ("332", Unauthorized),
        ("358", Invalid),
        ("359", OutOfGas),
        ("360", Unauthorized),
        ("401", Unauthorized),
        ("402", Unauthorized),
        ("403", Unauthorized),
        ("503", AlreadyDone),
        ("504", Invalid),
        ("505", Invalid),
        ("523", StateChanged),
        ("524", Invalid),
        ("406", InsufficientFunds),
    ]
};

#[test]
fn each_recorded_failure_is_sorted_by_what_to_do() {
    let (mut blocks, mut simulations) = (0, 0);
    for step in &steps() {
        let Some((_, expected)) = MEANING.iter().find(|(known, _)| *known == number(step)) else {
            let code = step["final"]["code"].as_i64().unwrap_or(0);
            assert!(
                code <= 0,
                "{} failed, and nobody says what that means",
                file(step)
            );
            continue;
        };
        let last = &step["final"];
        if let Some(code) = last["code"].as_u64().filter(|code| *code > 0) {
            let log = last["raw_log"]
                .as_str()
                .or_else(|| last["log"].as_str())
                .unwrap_or_default();
            let rejection = classify(
                last["codespace"].as_str().unwrap(),
                u32::try_from(code).unwrap(),
                log,
            );
            assert_eq!(rejection.kind, *expected, "{}: {log}", file(step));
            assert!(rejection.log.len() <= 1024 && !rejection.log.contains("stack:"));
            blocks += 1;
        }
        if let Some(details) = step["simulate"]["details"]
            .as_str()
            .filter(|details| !details.is_empty())
        {
            let rejection = classify_simulation(details);
            // These fail for another reason when simulated: the signer's sequence was a guess.
            if rejection.kind != RejectKind::SequenceMismatch {
                assert_eq!(rejection.kind, *expected, "simulated {}: {details}", file(step));
                assert!(!rejection.log.contains(".go:") && !rejection.log.contains("gas used: '"));
                simulations += 1;
            }
        }
    }
    println!("{blocks} refusals and {simulations} simulations sorted");
    assert!(blocks >= 60 && simulations >= 50, "{blocks} {simulations}");
}

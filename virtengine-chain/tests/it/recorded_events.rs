//! Every event that a real node was seen to emit.

use std::collections::BTreeMap;

use serde_json::Value;
use virtengine_chain::event::{AbciEvent, market_event};
use virtengine_chain::rpc::{BlockResults, TxResult};
use virtengine_provider_core::market::MarketEvent;

use crate::recordings::{file, number, steps};

/// The identity in an event as text, read without the code under test.
fn id_text(event: &AbciEvent) -> String {
    let id = event
        .attributes
        .iter()
        .find(|attribute| attribute.key == "id")
        .unwrap();
    let id: Value = serde_json::from_str(&id.value).unwrap();
    let mut text = id["owner"].as_str().unwrap().to_owned();
    for part in ["dseq", "gseq", "oseq", "provider"] {
        match &id[part] {
            Value::Null => {}
            Value::String(part) => text.push_str(&format!("/{part}")),
            other => text.push_str(&format!("/{other}")),
        }
    }
    text
}

fn decoded_id(event: &MarketEvent) -> String {
    use MarketEvent as E;
    match event {
        E::DeploymentCreated { id, .. } | E::DeploymentUpdated { id, .. } | E::DeploymentClosed { id } => {
            id.to_string()
        }
        E::GroupStarted { id } | E::GroupPaused { id } | E::GroupClosed { id } => id.to_string(),
        E::OrderCreated { id } | E::OrderClosed { id } => id.to_string(),
        E::BidCreated { id, .. } | E::BidClosed { id } => id.to_string(),
        E::LeaseCreated { id, .. } | E::LeaseClosed { id, .. } => id.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Decodes the events and compares them with what the text says.
fn check_events(step: &Value, events: &[AbciEvent], kinds: &mut BTreeMap<String, usize>) {
    for event in events {
        let market = ["virtengine.market.v1.Event", "virtengine.deployment.v1.Event"];
        let expected = market.iter().any(|prefix| event.kind.starts_with(prefix));
        let decoded = market_event(event).unwrap_or_else(|error| panic!("{}: {error}", file(step)));
        assert_eq!(decoded.is_some(), expected, "{}: {}", file(step), event.kind);
        if let Some(decoded) = decoded {
            assert_eq!(decoded_id(&decoded), id_text(event), "{}", file(step));
            *kinds.entry(event.kind.clone()).or_default() += 1;
        }
    }
}

#[test]
fn every_recorded_event_is_read() {
    let mut kinds = BTreeMap::new();
    let mut blocks = 0;
    for step in &steps() {
        if step["rpc_tx"]["tx_result"].is_object() {
            let result: TxResult = serde_json::from_value(step["rpc_tx"]["tx_result"].clone()).unwrap();
            check_events(step, &result.events, &mut kinds);
        }
        let results = &step["block_results"];
        if results["height"].is_string() {
            let results: BlockResults = serde_json::from_value(results.clone()).unwrap();
            for result in &results.txs_results {
                check_events(step, &result.events, &mut kinds);
            }
            check_events(step, &results.finalize_block_events, &mut kinds);
            blocks += 1;
        }
        let announced = &step["ws_new_block"]["result"]["data"]["value"]["result_finalize_block"];
        for result in announced["tx_results"].as_array().into_iter().flatten() {
            let result: TxResult = serde_json::from_value(result.clone()).unwrap();
            check_events(step, &result.events, &mut kinds);
        }
    }
    println!("{blocks} blocks; {kinds:#?}");
    assert!(blocks > 100);
    assert_eq!(kinds.len(), 12, "every kind of event was recorded: {kinds:?}");
}

#[test]
fn recorded_events_give_the_expected_story() {
    let story = |wanted: &str| -> Vec<MarketEvent> {
        let step = steps().into_iter().find(|step| number(step) == wanted).unwrap();
        let result: TxResult = serde_json::from_value(step["rpc_tx"]["tx_result"].clone()).unwrap();
        result
            .events
            .iter()
            .filter_map(|event| market_event(event).unwrap())
            .collect()
    };
    assert!(matches!(
        story("025").as_slice(),
        [
            MarketEvent::DeploymentCreated { .. },
            MarketEvent::OrderCreated { .. }
        ]
    ));
    assert!(
        matches!(story("031").as_slice(), [MarketEvent::BidCreated { price, .. }] if price.to_string() == "1uve")
    );
    assert!(matches!(
        story("052").as_slice(),
        [MarketEvent::LeaseCreated { .. }]
    ));
    assert!(matches!(
        story("107").as_slice(),
        [
            MarketEvent::GroupPaused { .. },
            MarketEvent::LeaseClosed { .. },
            MarketEvent::BidClosed { .. },
            MarketEvent::OrderClosed { .. }
        ]
    ));
    assert!(matches!(
        story("128").as_slice(),
        [
            MarketEvent::LeaseClosed { .. },
            MarketEvent::BidClosed { .. },
            MarketEvent::OrderClosed { .. },
            MarketEvent::OrderCreated { .. }
        ]
    ));
}

#[test]
fn an_event_that_breaks_the_contract_is_an_error_not_a_guess() {
    const OWNER: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";
    let event = |kind: &str, attributes: &[(&str, String)]| AbciEvent {
        kind: format!("virtengine.{kind}"),
        attributes: attributes
            .iter()
            .map(|(key, value)| virtengine_chain::event::Attribute {
                key: (*key).to_owned(),
                value: value.clone(),
            })
            .collect(),
    };
    let order = |dseq: &str| format!(r#"{{"owner":"{OWNER}","dseq":{dseq},"gseq":1,"oseq":1}}"#);
    let bid = |bseq: u32| {
        format!(r#"{{"owner":"{OWNER}","dseq":"1","gseq":1,"oseq":1,"provider":"{OWNER}","bseq":{bseq}}}"#)
    };
    let good = order("\"1\"");
    let created = "market.v1.EventOrderCreated";
    assert!(
        market_event(&event(created, &[("id", good.clone())]))
            .unwrap()
            .is_some()
    );
    assert!(
        market_event(&event("market.v1.EventBidClosed", &[("id", bid(0))]))
            .unwrap()
            .is_some()
    );
    let broken = [
        event(created, &[]),
        event(created, &[("id", good.clone()), ("id", good)]),
        event(created, &[("id", order("1"))]),
        event(created, &[("id", order("\"-1\""))]),
        event(created, &[("id", order("\"18446744073709551616\""))]),
        event("market.v1.EventBidClosed", &[("id", bid(1))]),
        event(
            "deployment.v1.EventDeploymentCreated",
            &[
                ("id", format!(r#"{{"owner":"{OWNER}","dseq":"1"}}"#)),
                ("hash", "\"AAAA\"".to_owned()),
            ],
        ),
    ];
    for event in broken {
        assert!(market_event(&event).is_err(), "{event:?}");
    }
}

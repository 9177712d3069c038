//! Whatever bytes come, decoders answer; they never panic.

use proptest::prelude::*;
use prost_types::Any;
use virtengine_chain::event::{AbciEvent, Attribute, market_event};
use virtengine_chain::proto::virtengine::{deployment, market, provider, settlement};
use virtengine_chain::rejection::{
    classify, classify_simulation, expected_sequence, failed_message, required_gas_price,
};
use virtengine_chain::{account, message, tx, wire};

use crate::types::all;

/// Type URLs of every message of our vocabulary, and some that are not.
fn type_url() -> impl Strategy<Value = String> {
    let known = all().into_iter().map(|(name, _)| format!("/{name}"));
    let mut names: Vec<String> = known.collect();
    names.extend(["", "/", ".", "/x", "virtengine.market.v1beta5.MsgCreateBid"].map(str::to_owned));
    prop::sample::select(names)
}

/// Recorded bytes of some message with a few of them changed: gets deeper than noise.
fn damaged() -> impl Strategy<Value = (String, Vec<u8>)> {
    let recorded: Vec<(String, Vec<u8>)> = crate::recordings::steps()
        .iter()
        .flat_map(|step| step["messages"].as_array().cloned().unwrap_or_default())
        .filter_map(|each| {
            let bytes = hex::decode(each["hex"].as_str()?).ok()?;
            Some((each["type_url"].as_str()?.to_owned(), bytes))
        })
        .collect();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
    (
        prop::sample::select(recorded),
        changes,
        any::<prop::sample::Index>(),
    )
        .prop_map(|((name, mut bytes), changes, cut)| {
            for (place, value) in changes {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = value;
                }
            }
            if cut.index(3) == 0 {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            (name, bytes)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_message_decoder_panic(type_url in type_url(), value in prop::collection::vec(any::<u8>(), 0..200)) {
        let any = Any { type_url, value };
        let _ = message::decode(&any);
        let _ = account::public_key(&any);
    }

    #[test]
    fn damaged_messages_are_refused_or_read_but_never_panic((type_url, value) in damaged()) {
        let any = Any { type_url, value };
        if let Ok((sender, decoded)) = message::decode(&any) {
            // Whatever is accepted can be said again and means the same.
            let again = message::encode(&decoded, &sender).unwrap();
            prop_assert_eq!(message::decode(&again).unwrap(), (sender, decoded));
        }
    }

    #[test]
    fn no_bytes_make_an_answer_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(answer) = wire::decode::<market::v1beta5::QueryOrderResponse>(&bytes) {
            let _ = wire::order(answer.order.as_ref());
        }
        if let Ok(answer) = wire::decode::<market::v1beta5::QueryBidResponse>(&bytes) {
            let _ = wire::bid(answer.bid.as_ref());
        }
        if let Ok(answer) = wire::decode::<market::v1beta5::QueryLeaseResponse>(&bytes) {
            let _ = wire::lease(answer.lease.as_ref());
        }
        if let Ok(answer) = wire::decode::<deployment::v1beta4::QueryDeploymentResponse>(&bytes) {
            let _ = wire::deployment(&answer);
        }
        if let Ok(answer) = wire::decode::<provider::v1beta4::QueryProviderResponse>(&bytes) {
            let _ = wire::provider(answer.provider.as_ref());
        }
        if let Ok(answer) = wire::decode::<settlement::v1::EscrowAccount>(&bytes) {
            let _ = wire::escrow(&answer);
        }
        if let Ok(answer) = wire::decode::<settlement::v1::UsageRecord>(&bytes) {
            let _ = wire::usage(&answer);
        }
        let _ = tx::messages_of(&bytes);
        for (_, again) in all() {
            let _ = again(&bytes);
        }
    }

    #[test]
    fn no_words_make_the_sorter_panic(codespace in ".{0,8}", code: u32, log in ".{0,2000}") {
        prop_assert!(classify(&codespace, code, &log).log.len() <= 1024);
        prop_assert!(classify_simulation(&log).log.len() <= 1024);
        let _ = (failed_message(&log), expected_sequence(&log), required_gas_price(&log, "uve"));
    }

    #[test]
    fn no_event_makes_the_reader_panic(
        name in prop::sample::select(vec![
            "deployment.v1.EventDeploymentCreated", "deployment.v1.EventGroupPaused", "market.v1.EventOrderCreated",
            "market.v1.EventBidCreated", "market.v1.EventLeaseClosed",
        ]),
        values in prop::collection::vec((prop::sample::select(vec!["id", "hash", "price", "reason"]), ".{0,60}"), 0..5),
    ) {
        let attributes = values
            .into_iter()
            .map(|(key, value)| Attribute { key: key.to_owned(), value })
            .collect();
        let _ = market_event(&AbciEvent { kind: format!("virtengine.{name}"), attributes });
    }
}

//! What a node answers: JSON of every kind of answer, and the protobuf in them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use virtengine_chain::event::market_event;
use virtengine_chain::proto::virtengine;
use virtengine_chain::rejection::{classify, expected_sequence, failed_message, required_gas_price};
use virtengine_chain::rpc::{AbciAnswer, Block, BlockResults, BroadcastAnswer, NodeStatus, TxAnswer};
use virtengine_chain::wire;

fuzz_target!(|answer: &[u8]| {
    let _ = serde_json::from_slice::<NodeStatus>(answer);
    let _ = serde_json::from_slice::<Block>(answer);
    if let Ok(refused) = serde_json::from_slice::<BroadcastAnswer>(answer) {
        refusal(&refused.codespace, refused.code, &refused.log);
    }
    if let Ok(found) = serde_json::from_slice::<TxAnswer>(answer) {
        refusal(&found.result.codespace, found.result.code, &found.result.log);
    }
    if let Ok(results) = serde_json::from_slice::<BlockResults>(answer) {
        let of_txs = results.txs_results.iter().flat_map(|result| &result.events);
        for event in of_txs.chain(&results.finalize_block_events) {
            let _ = market_event(event);
        }
    }
    if let Ok(found) = serde_json::from_slice::<AbciAnswer>(answer) {
        refusal(&found.codespace, found.code, &found.log);
        protobuf(&found.value);
    }
    protobuf(answer);
});

fn refusal(codespace: &str, code: u32, log: &str) {
    let _ = classify(codespace, code, log);
    let _ = (
        failed_message(log),
        expected_sequence(log),
        required_gas_price(log, "uve"),
    );
}

/// The answers to the questions of a provider; an answer that is read says the same after writing and reading it.
fn protobuf(value: &[u8]) {
    if let Ok(found) = wire::decode::<virtengine::market::v1beta5::QueryOrdersResponse>(value) {
        for order in &found.orders {
            let _ = wire::order(Some(order));
        }
    }
    if let Ok(found) = wire::decode::<virtengine::market::v1beta5::QueryBidResponse>(value) {
        let _ = wire::bid(found.bid.as_ref());
    }
    if let Ok(found) = wire::decode::<virtengine::market::v1beta5::QueryLeaseResponse>(value) {
        let _ = wire::lease(found.lease.as_ref());
    }
    if let Ok(found) = wire::decode::<virtengine::deployment::v1beta4::QueryDeploymentResponse>(value)
        && let Ok(deployment) = wire::deployment(&found)
    {
        for (_, spec) in &deployment.groups {
            let written = wire::group_spec_to_wire(spec);
            assert_eq!(wire::group_spec(Some(&written)).as_ref(), Ok(spec));
        }
    }
    if let Ok(found) = wire::decode::<virtengine::provider::v1beta4::QueryProviderResponse>(value)
        && let Ok(provider) = wire::provider(found.provider.as_ref())
    {
        let written = wire::provider_to_wire(&provider);
        assert_eq!(wire::provider(Some(&written)), Ok(provider));
    }
    if let Ok(found) = wire::decode::<virtengine::settlement::v1::QueryEscrowResponse>(value)
        && let Some(escrow) = &found.escrow
    {
        let _ = wire::escrow(escrow);
    }
    if let Ok(found) = wire::decode::<virtengine::settlement::v1::QueryUsageRecordResponse>(value)
        && let Some(record) = &found.usage_record
    {
        let _ = wire::usage(record);
    }
}

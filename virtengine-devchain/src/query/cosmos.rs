//! Accounts, balances, grants, the node itself, simulation.

use prost::Message;
use prost_types::Any;

use crate::machine::Machine;
use crate::machine::chain::tx_data;
use crate::query::page::cut;
use crate::query::{Reply, invalid, not_found, reply};
use crate::rules::{accounts, authz, bank, feegrant};
use crate::state::address;
use crate::state::amount::is_denom;
use crate::state::context::Context;
use crate::state::event::Event;
use crate::state::failure::{Code, Failure};
use crate::wire::auth::{
    BaseAccount, QueryAccountInfoRequest, QueryAccountInfoResponse, QueryAccountRequest, QueryAccountResponse,
};
use crate::wire::{
    abci, authz as pb_authz, bank as pb_bank, feegrant as pb_feegrant, node, tendermint, tm, tx,
};

/// The version that this chain says it runs.
pub(crate) const COMET_VERSION: &str = "0.38.26";
/// Protocol versions of CometBFT 0.38.
const P2P_PROTOCOL: u64 = 8;
const BLOCK_PROTOCOL: u64 = 11;

/// `cosmos.auth.v1beta1.ModuleAccount`.
#[derive(Clone, PartialEq, Message)]
struct ModuleAccount {
    #[prost(message, optional, tag = "1")]
    base_account: Option<BaseAccount>,
    #[prost(string, tag = "2")]
    name: String,
}

pub(super) fn answer(machine: &Machine, ctx: &mut Context<'_>, path: &str, data: &[u8]) -> Option<Reply> {
    Some(match path {
        "/cosmos.auth.v1beta1.Query/Account" => reply(data, |q: QueryAccountRequest| {
            let account = account(ctx, &q.address)?;
            Ok(QueryAccountResponse {
                account: Some(any_of(account)),
            })
        }),
        "/cosmos.auth.v1beta1.Query/AccountInfo" => reply(data, |q: QueryAccountInfoRequest| {
            let info = Some(account(ctx, &q.address)?);
            Ok(QueryAccountInfoResponse { info })
        }),
        "/cosmos.bank.v1beta1.Query/Balance" => reply(data, |q: pb_bank::QueryBalanceRequest| {
            if !is_denom(&q.denom) {
                return Err(invalid(format_args!("invalid denom: {}", q.denom)));
            }
            let owner = address_of(&q.address)?;
            let balance = Some(bank::coin_of(ctx, &owner, &q.denom)?);
            Ok(pb_bank::QueryBalanceResponse { balance })
        }),
        "/cosmos.bank.v1beta1.Query/AllBalances" => reply(data, |q: pb_bank::QueryAllBalancesRequest| {
            let owner = address_of(&q.address)?;
            let (balances, page) = cut(bank::balances(ctx, &owner).list(), q.pagination);
            Ok(pb_bank::QueryAllBalancesResponse {
                balances,
                pagination: Some(page),
            })
        }),
        "/cosmos.authz.v1beta1.Query/Grants" => reply(data, |q: pb_authz::QueryGrantsRequest| {
            let all = authz::grants(ctx, &q.granter, &q.grantee, &q.msg_type_url)?;
            let (grants, page) = cut(all, q.pagination);
            Ok(pb_authz::QueryGrantsResponse {
                grants,
                pagination: Some(page),
            })
        }),
        "/cosmos.feegrant.v1beta1.Query/Allowance" => reply(data, |q: pb_feegrant::QueryAllowanceRequest| {
            let allowance = feegrant::find(ctx, &q.granter, &q.grantee)?;
            let allowance = Some(allowance.ok_or_else(|| not_found("fee-grant not found"))?);
            Ok(pb_feegrant::QueryAllowanceResponse { allowance })
        }),
        "/cosmos.tx.v1beta1.Service/Simulate" => reply(data, |q| simulate(machine, q)),
        "/cosmos.base.node.v1beta1.Service/Config" => reply(data, |_: node::ConfigRequest| {
            Ok(node::ConfigResponse {
                minimum_gas_price: machine.min_gas_price(),
                pruning_keep_recent: "0".to_owned(),
                pruning_interval: "0".to_owned(),
                halt_height: 0,
            })
        }),
        "/cosmos.base.tendermint.v1beta1.Service/GetNodeInfo" => reply(data, |_: tm::GetNodeInfoRequest| {
            Ok(node_info(machine.chain_id()))
        }),
        _ => return None,
    })
}

fn address_of(text: &str) -> Result<Vec<u8>, Failure> {
    if text.is_empty() {
        return Err(invalid("address cannot be empty"));
    }
    address::bytes(text)
        .ok_or_else(|| Failure::Lost(format!("decoding bech32 failed: {text:?} is not an address")))
}

fn account(ctx: &mut Context<'_>, text: &str) -> Result<BaseAccount, Failure> {
    let bytes = address_of(text)?;
    accounts::load(ctx, &bytes)?.ok_or_else(|| not_found(format_args!("account {text} not found")))
}

fn any_of(account: BaseAccount) -> Any {
    let module = accounts::MODULES
        .iter()
        .find(|name| address::text(&address::of_module(name)) == account.address);
    match module {
        Some(name) => Any {
            type_url: "/cosmos.auth.v1beta1.ModuleAccount".to_owned(),
            value: ModuleAccount {
                base_account: Some(account),
                name: (*name).to_owned(),
            }
            .encode_to_vec(),
        },
        None => Any {
            type_url: "/cosmos.auth.v1beta1.BaseAccount".to_owned(),
            value: account.encode_to_vec(),
        },
    }
}

/// Events in their protobuf form.
fn events_of(events: Vec<Event>) -> Vec<tendermint::abci::Event> {
    events
        .into_iter()
        .map(|e| tendermint::abci::Event {
            r#type: e.kind,
            attributes: e
                .attributes
                .into_iter()
                .map(|(key, value)| tendermint::abci::EventAttribute {
                    key,
                    value,
                    index: false,
                })
                .collect(),
        })
        .collect()
}

/// `Simulate`. A failure has no code, only text: the log, a place, the gas used (spec/chain-node.md 2.2).
fn simulate(machine: &Machine, q: tx::SimulateRequest) -> Result<tx::SimulateResponse, Failure> {
    let bytes = match q.tx {
        Some(tx) if q.tx_bytes.is_empty() => tx.encode_to_vec(),
        _ => q.tx_bytes,
    };
    if bytes.is_empty() {
        return Err(invalid("empty txBytes is not allowed"));
    }
    let executed = machine.simulate(&bytes);
    match executed.outcome {
        Ok(responses) => Ok(tx::SimulateResponse {
            gas_info: Some(abci::GasInfo {
                gas_wanted: u64::MAX,
                gas_used: executed.gas_used,
            }),
            result: Some(abci::Result {
                data: tx_data(responses.clone()).encode_to_vec(),
                log: String::new(),
                events: events_of(executed.events),
                msg_responses: responses,
            }),
        }),
        Err(failure) => {
            let place = if matches!(failure, Failure::Refused { .. }) {
                " [devchain/rules:1]"
            } else {
                ""
            };
            let log = match &failure {
                Failure::Panic(text) => format!("recovered: {text}\n"),
                other => other.log(),
            };
            Err(Failure::Refused {
                code: Code {
                    space: "sdk",
                    number: 6,
                    text: "unknown request",
                    not_found: false,
                },
                log: format!(
                    "rpc error: code = Unknown desc = {log}{place} with gas used: '{}'",
                    executed.gas_used
                ),
            })
        }
    }
}

fn node_info(chain_id: &str) -> tm::GetNodeInfoResponse {
    tm::GetNodeInfoResponse {
        default_node_info: Some(tendermint::p2p::DefaultNodeInfo {
            protocol_version: Some(tendermint::p2p::ProtocolVersion {
                p2p: P2P_PROTOCOL,
                block: BLOCK_PROTOCOL,
                app: 0,
            }),
            network: chain_id.to_owned(),
            version: COMET_VERSION.to_owned(),
            moniker: "devchain".to_owned(),
            ..tendermint::p2p::DefaultNodeInfo::default()
        }),
        application_version: Some(tm::VersionInfo {
            name: "virtengine-devchain".to_owned(),
            app_name: "virtengine-devchain".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..tm::VersionInfo::default()
        }),
    }
}

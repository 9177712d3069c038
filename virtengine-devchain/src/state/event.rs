//! Events as the node emits them: a type and attributes in order (spec/chain.md C.1).

use crate::state::amount::{Dec, dec_of};
use crate::wire::coin::DecCoin;
use crate::wire::{dv1, mv1};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) attributes: Vec<(String, String)>,
}

impl Event {
    pub(crate) fn new<const N: usize>(kind: &str, attributes: [(&str, String); N]) -> Self {
        Self {
            kind: kind.to_owned(),
            attributes: attributes.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
        }
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.attributes.push((key.to_owned(), value.to_owned()));
        self
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn order_json(id: &mv1::OrderId) -> String {
    format!(
        r#"{{"owner":{},"dseq":"{}","gseq":{},"oseq":{}}}"#,
        quoted(&id.owner),
        id.dseq,
        id.gseq,
        id.oseq
    )
}

fn bid_json(id: &mv1::BidId) -> String {
    format!(
        r#"{{"owner":{},"dseq":"{}","gseq":{},"oseq":{},"provider":{},"bseq":{}}}"#,
        quoted(&id.owner),
        id.dseq,
        id.gseq,
        id.oseq,
        quoted(&id.provider),
        id.bseq
    )
}

fn deployment_json(id: &dv1::DeploymentId) -> String {
    format!(r#"{{"owner":{},"dseq":"{}"}}"#, quoted(&id.owner), id.dseq)
}

fn group_json(id: &dv1::GroupId) -> String {
    format!(
        r#"{{"owner":{},"dseq":"{}","gseq":{}}}"#,
        quoted(&id.owner),
        id.dseq,
        id.gseq
    )
}

fn price_json(price: &DecCoin) -> String {
    let amount = dec_of(&price.amount).map_or_else(|_| String::new(), Dec::json);
    format!(r#"{{"denom":{},"amount":"{amount}"}}"#, quoted(&price.denom))
}

fn hash_json(hash: &[u8]) -> String {
    use base64::Engine as _;
    quoted(&base64::engine::general_purpose::STANDARD.encode(hash))
}

/// `EventDeploymentCreated`, `…Updated`.
pub(crate) fn deployment_hashed(what: &str, id: &dv1::DeploymentId, hash: &[u8]) -> Event {
    Event::new(
        &format!("virtengine.deployment.v1.EventDeployment{what}"),
        [("hash", hash_json(hash)), ("id", deployment_json(id))],
    )
}

/// `EventDeploymentClosed`.
pub(crate) fn deployment_closed(id: &dv1::DeploymentId) -> Event {
    Event::new(
        "virtengine.deployment.v1.EventDeploymentClosed",
        [("id", deployment_json(id))],
    )
}

/// `EventGroupStarted`, `…Paused`, `…Closed`.
pub(crate) fn group(what: &str, id: &dv1::GroupId) -> Event {
    Event::new(
        &format!("virtengine.deployment.v1.EventGroup{what}"),
        [("id", group_json(id))],
    )
}

/// `EventOrderCreated`, `…Closed`.
pub(crate) fn order(what: &str, id: &mv1::OrderId) -> Event {
    Event::new(
        &format!("virtengine.market.v1.EventOrder{what}"),
        [("id", order_json(id))],
    )
}

/// `EventBidCreated`.
pub(crate) fn bid_created(id: &mv1::BidId, price: &DecCoin) -> Event {
    Event::new(
        "virtengine.market.v1.EventBidCreated",
        [("id", bid_json(id)), ("price", price_json(price))],
    )
}

/// `EventBidClosed`.
pub(crate) fn bid_closed(id: &mv1::BidId) -> Event {
    Event::new("virtengine.market.v1.EventBidClosed", [("id", bid_json(id))])
}

/// `EventLeaseCreated`.
pub(crate) fn lease_created(id: &mv1::BidId, price: &DecCoin) -> Event {
    Event::new(
        "virtengine.market.v1.EventLeaseCreated",
        [("id", bid_json(id)), ("price", price_json(price))],
    )
}

/// `EventLeaseClosed`. A reason without a name is shown as its number.
pub(crate) fn lease_closed(id: &mv1::BidId, reason: i32) -> Event {
    let reason = mv1::LeaseClosedReason::try_from(reason)
        .map_or_else(|_| reason.to_string(), |known| quoted(known.as_str_name()));
    Event::new(
        "virtengine.market.v1.EventLeaseClosed",
        [("id", bid_json(id)), ("reason", reason)],
    )
}

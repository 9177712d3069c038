//! Typed events (spec/chain.md C.1): the type is the full message name, each attribute's value is the JSON of one field.

use base64::Engine as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use virtengine_provider_core::id::{Address, BidId, DeploymentId, GroupId, LeaseId, OrderId};
use virtengine_provider_core::market::{CloseReason, MarketEvent};
use virtengine_provider_core::money::{Decimal, Price};

use crate::proto::virtengine::market::v1::LeaseClosedReason;

/// An event of a block or a transaction, as CometBFT prints it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct AbciEvent {
    /// Full message name for typed events.
    #[serde(rename = "type")]
    pub kind: String,
    /// In order.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub attributes: Vec<Attribute>,
}

/// One attribute of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Attribute {
    /// Name of the field.
    #[serde(default)]
    pub key: String,
    /// JSON of the field's value.
    #[serde(default)]
    pub value: String,
}

/// CometBFT prints an empty list as `null`.
pub(crate) fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// An event of the market whose attributes are not what the contract says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {kind}: attribute {attribute} is unusable: {why}")]
pub struct EventError {
    /// The event's type.
    pub kind: String,
    /// Which attribute.
    pub attribute: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// The market event in `event`; `None` for every other kind of event.
///
/// # Errors
/// The event is one of the market's but cannot be read.
pub fn market_event(event: &AbciEvent) -> Result<Option<MarketEvent>, EventError> {
    let reader = Reader(event);
    let found = match event.kind.as_str() {
        "virtengine.deployment.v1.EventDeploymentCreated" => MarketEvent::DeploymentCreated {
            id: reader.deployment()?,
            manifest_hash: reader.hash()?,
        },
        "virtengine.deployment.v1.EventDeploymentUpdated" => MarketEvent::DeploymentUpdated {
            id: reader.deployment()?,
            manifest_hash: reader.hash()?,
        },
        "virtengine.deployment.v1.EventDeploymentClosed" => MarketEvent::DeploymentClosed {
            id: reader.deployment()?,
        },
        "virtengine.deployment.v1.EventGroupStarted" => MarketEvent::GroupStarted { id: reader.group()? },
        "virtengine.deployment.v1.EventGroupPaused" => MarketEvent::GroupPaused { id: reader.group()? },
        "virtengine.deployment.v1.EventGroupClosed" => MarketEvent::GroupClosed { id: reader.group()? },
        "virtengine.market.v1.EventOrderCreated" => MarketEvent::OrderCreated { id: reader.order()? },
        "virtengine.market.v1.EventOrderClosed" => MarketEvent::OrderClosed { id: reader.order()? },
        "virtengine.market.v1.EventBidCreated" => MarketEvent::BidCreated {
            id: reader.lease()?,
            price: reader.price()?,
        },
        "virtengine.market.v1.EventBidClosed" => MarketEvent::BidClosed { id: reader.lease()? },
        "virtengine.market.v1.EventLeaseCreated" => MarketEvent::LeaseCreated {
            id: reader.lease()?,
            price: reader.price()?,
        },
        "virtengine.market.v1.EventLeaseClosed" => MarketEvent::LeaseClosed {
            id: reader.lease()?,
            reason: reader.reason()?,
        },
        _ => return Ok(None),
    };
    Ok(Some(found))
}

#[derive(Deserialize)]
struct DeploymentJson {
    owner: Address,
    dseq: String,
}

#[derive(Deserialize)]
struct GroupJson {
    owner: Address,
    dseq: String,
    gseq: u32,
}

#[derive(Deserialize)]
struct OrderJson {
    owner: Address,
    dseq: String,
    gseq: u32,
    oseq: u32,
}

#[derive(Deserialize)]
struct LeaseJson {
    owner: Address,
    dseq: String,
    gseq: u32,
    oseq: u32,
    provider: Address,
    bseq: u32,
}

#[derive(Deserialize)]
struct PriceJson {
    denom: String,
    amount: Decimal,
}

struct Reader<'a>(&'a AbciEvent);

impl Reader<'_> {
    fn error(&self, attribute: &'static str, why: impl ToString) -> EventError {
        EventError {
            kind: self.0.kind.clone(),
            attribute,
            why: why.to_string(),
        }
    }

    fn json<T: DeserializeOwned>(&self, key: &'static str) -> Result<T, EventError> {
        let mut values = self.0.attributes.iter().filter(|attribute| attribute.key == key);
        let (Some(first), None) = (values.next(), values.next()) else {
            return Err(self.error(key, "it is not there exactly once"));
        };
        serde_json::from_str(&first.value).map_err(|error| self.error(key, error))
    }

    fn dseq(&self, text: &str) -> Result<u64, EventError> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(self.error("id", "dseq is no number"));
        }
        text.parse().map_err(|error| self.error("id", error))
    }

    fn deployment(&self) -> Result<DeploymentId, EventError> {
        let id: DeploymentJson = self.json("id")?;
        Ok(DeploymentId::new(id.owner, self.dseq(&id.dseq)?))
    }

    fn group(&self) -> Result<GroupId, EventError> {
        let id: GroupJson = self.json("id")?;
        Ok(GroupId {
            deployment: DeploymentId::new(id.owner, self.dseq(&id.dseq)?),
            gseq: id.gseq,
        })
    }

    fn order(&self) -> Result<OrderId, EventError> {
        let id: OrderJson = self.json("id")?;
        Ok(OrderId::new(id.owner, self.dseq(&id.dseq)?, id.gseq, id.oseq))
    }

    fn lease(&self) -> Result<LeaseId, EventError> {
        let id: LeaseJson = self.json("id")?;
        if id.bseq != 0 {
            return Err(self.error("id", "bseq is not 0"));
        }
        let order = OrderId::new(id.owner, self.dseq(&id.dseq)?, id.gseq, id.oseq);
        Ok(BidId::new(order, id.provider))
    }

    fn price(&self) -> Result<Price, EventError> {
        let price: PriceJson = self.json("price")?;
        let denom = price.denom.parse().map_err(|error| self.error("price", error))?;
        Ok(Price::new(denom, price.amount))
    }

    fn hash(&self) -> Result<[u8; 32], EventError> {
        let text: String = self.json("hash")?;
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|error| self.error("hash", error))?;
        bytes
            .try_into()
            .map_err(|_| self.error("hash", "it is not 32 bytes long"))
    }

    fn reason(&self) -> Result<CloseReason, EventError> {
        let name: String = self.json("reason")?;
        // A reason that we do not know still is the end of a lease.
        Ok(
            LeaseClosedReason::from_str_name(&name).map_or(CloseReason::Unspecified, |reason| {
                CloseReason::from_code(i32::from(reason))
            }),
        )
    }
}

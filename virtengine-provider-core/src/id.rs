//! Every identifier of the market, in one place. `FromStr` is the only door for text; the text forms are those of the chain
//! (spec/chain.md A.3): `owner/dseq`, `owner/dseq/gseq`, `owner/dseq/gseq/oseq`, `owner/dseq/gseq/oseq/provider`.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Not a bech32 account address.
    #[error("{text:?} is not a bech32 account address")]
    Address {
        /// What was given.
        text: String,
    },
    /// Wrong number of `/`-separated parts, or a part that is not a number.
    #[error("{text:?} is not {expected}")]
    Shape {
        /// What was given.
        text: String,
        /// The form that was expected.
        expected: &'static str,
    },
}

/// A bech32 account address, e.g. `ve1…`; the checksum has been verified. The prefix is not fixed here: the chain that one
/// talks to decides it (`chain.address_prefix`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

impl Address {
    /// Builds the address of `bytes` (20 for secp256k1 and ed25519 keys, 32 for p256) under the human-readable `prefix`.
    ///
    /// # Errors
    /// `prefix` is not a valid bech32 prefix.
    pub fn from_bytes(prefix: &str, bytes: &[u8]) -> Result<Self, IdError> {
        let bad = || IdError::Address {
            text: prefix.to_owned(),
        };
        let hrp = bech32::Hrp::parse(prefix).map_err(|_| bad())?;
        bech32::encode::<bech32::Bech32>(hrp, bytes)
            .map(Self)
            .map_err(|_| bad())
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The human-readable prefix, e.g. `ve`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.0.rsplit_once('1').map_or("", |(prefix, _)| prefix)
    }

    /// The bytes behind the text.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bech32::decode(&self.0)
            .map(|(_, bytes)| bytes)
            .unwrap_or_default()
    }
}

impl FromStr for Address {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::Address {
            text: text.to_owned(),
        };
        let checked =
            bech32::primitives::decode::CheckedHrpstring::new::<bech32::Bech32>(text).map_err(|_| bad())?;
        if text.bytes().any(|b| b.is_ascii_uppercase()) || checked.byte_iter().len() == 0 {
            return Err(bad());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Block height. Height 0 is "before the first block".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Height(pub u64);

impl Height {
    /// The height `blocks` later (saturating).
    #[must_use]
    pub const fn plus(self, blocks: u64) -> Self {
        Self(self.0.saturating_add(blocks))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a `TxRaw`; text form is upper-case hex, as CometBFT prints it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxHash(pub [u8; 32]);

impl TxHash {
    /// The hash of the bytes of a `TxRaw`.
    #[must_use]
    pub fn of(tx_raw: &[u8]) -> Self {
        Self(Sha256::digest(tx_raw).into())
    }
}

impl fmt::Display for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_upper(self.0))
    }
}

impl FromStr for TxHash {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::Shape {
            text: text.to_owned(),
            expected: "a transaction hash (64 hex digits)",
        })?;
        Ok(Self(bytes))
    }
}

/// A deployment: `owner/dseq`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentId {
    /// The tenant.
    pub owner: Address,
    /// Chosen by the tenant, unique per owner.
    pub dseq: u64,
}

/// A placement group of a deployment: `owner/dseq/gseq`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    /// The deployment it belongs to.
    pub deployment: DeploymentId,
    /// 1-based position in the deployment.
    pub gseq: u32,
}

/// An order: `owner/dseq/gseq/oseq`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId {
    /// The group that asks.
    pub group: GroupId,
    /// Starts at 1, rises with every re-opened order of the group.
    pub oseq: u32,
}

/// A lease, and the bid that it came from: `owner/dseq/gseq/oseq/provider`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    /// The order that was matched.
    pub order: OrderId,
    /// The provider that serves it.
    pub provider: Address,
}

/// A bid has the identity of the lease that it may become (`bseq` is always 0).
pub type BidId = LeaseId;

impl DeploymentId {
    /// Pairs an owner with its sequence.
    #[must_use]
    pub const fn new(owner: Address, dseq: u64) -> Self {
        Self { owner, dseq }
    }
}

impl OrderId {
    /// The order `owner/dseq/gseq/oseq`.
    #[must_use]
    pub const fn new(owner: Address, dseq: u64, gseq: u32, oseq: u32) -> Self {
        Self {
            group: GroupId {
                deployment: DeploymentId { owner, dseq },
                gseq,
            },
            oseq,
        }
    }

    /// The tenant.
    #[must_use]
    pub const fn owner(&self) -> &Address {
        &self.group.deployment.owner
    }

    /// The deployment.
    #[must_use]
    pub const fn deployment(&self) -> &DeploymentId {
        &self.group.deployment
    }
}

impl LeaseId {
    /// The bid or lease of `provider` on `order`.
    #[must_use]
    pub const fn new(order: OrderId, provider: Address) -> Self {
        Self { order, provider }
    }

    /// The tenant.
    #[must_use]
    pub const fn owner(&self) -> &Address {
        self.order.owner()
    }

    /// The deployment.
    #[must_use]
    pub const fn deployment(&self) -> &DeploymentId {
        self.order.deployment()
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.dseq)
    }
}
impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.deployment, self.gseq)
    }
}
impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.oseq)
    }
}
impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.order, self.provider)
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

impl FromStr for DeploymentId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::Shape {
            text: text.to_owned(),
            expected: "a deployment id (owner/dseq)",
        };
        let (owner, dseq) = text.rsplit_once('/').ok_or_else(bad)?;
        Ok(Self {
            owner: owner.parse()?,
            dseq: number(dseq).ok_or_else(bad)?,
        })
    }
}
impl FromStr for GroupId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::Shape {
            text: text.to_owned(),
            expected: "a group id (owner/dseq/gseq)",
        };
        let (deployment, gseq) = text.rsplit_once('/').ok_or_else(bad)?;
        Ok(Self {
            deployment: deployment.parse()?,
            gseq: number(gseq).ok_or_else(bad)?,
        })
    }
}
impl FromStr for OrderId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::Shape {
            text: text.to_owned(),
            expected: "an order id (owner/dseq/gseq/oseq)",
        };
        let (group, oseq) = text.rsplit_once('/').ok_or_else(bad)?;
        Ok(Self {
            group: group.parse()?,
            oseq: number(oseq).ok_or_else(bad)?,
        })
    }
}
impl FromStr for LeaseId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let bad = || IdError::Shape {
            text: text.to_owned(),
            expected: "a lease id (owner/dseq/gseq/oseq/provider)",
        };
        let (order, provider) = text.rsplit_once('/').ok_or_else(bad)?;
        Ok(Self {
            order: order.parse()?,
            provider: provider.parse()?,
        })
    }
}

/// Identity of a workload, chosen by us before anything is created, so that a repeated deploy is the same workload. It is a
/// DNS label (`[a-z0-9-]`, starts with a letter, at most 40 characters): usable as a name in every back end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId(String);

/// Longest workload id. Leaves room for a namespace prefix and a suffix within the 63 characters of a DNS label.
pub const WORKLOAD_ID_LEN_MAX: usize = 40;

impl WorkloadId {
    /// The workload of a lease: the same for every call with the same lease.
    #[must_use]
    pub fn of_lease(lease: &LeaseId) -> Self {
        Self::derived("w-", lease.to_string().as_bytes())
    }

    /// A workload of the operator's own (no lease), named by `seed`, e.g. the manifest hash and a counter.
    #[must_use]
    pub fn local(seed: &[u8]) -> Self {
        Self::derived("local-", seed)
    }

    fn derived(prefix: &str, seed: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(seed).into();
        let mut text = prefix.to_owned();
        text.push_str(&hex::encode(digest.first_chunk::<10>().unwrap_or(&[0; 10])));
        Self(text)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkloadId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if starts && text.len() <= WORKLOAD_ID_LEN_MAX && text.bytes().all(legal) && !text.ends_with('-') {
            return Ok(Self(text.to_owned()));
        }
        Err(IdError::Shape {
            text: text.to_owned(),
            expected: "a workload id (a DNS label of at most 40 characters)",
        })
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_form {
    ($($id:ty),*) => {$(
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
text_form!(
    Address,
    TxHash,
    DeploymentId,
    GroupId,
    OrderId,
    LeaseId,
    WorkloadId
);

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";
    const BOB: &str = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";

    #[test]
    fn ids_survive_their_text_form() {
        let text = alloc::format!("{ALICE}/1000000/1/2/{BOB}");
        let lease: LeaseId = text.parse().unwrap();
        assert_eq!(lease.to_string(), text);
        assert_eq!((lease.order.oseq, lease.deployment().dseq), (2, 1_000_000));
        assert_eq!(lease.owner().as_str(), ALICE);
    }

    #[test]
    fn an_address_with_a_wrong_letter_is_refused() {
        assert!(
            "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86g"
                .parse::<Address>()
                .is_err()
        );
        assert!("".parse::<Address>().is_err());
        assert_eq!(ALICE.parse::<Address>().unwrap().prefix(), "ve");
    }

    #[test]
    fn signs_and_spaces_are_not_numbers() {
        for text in ["/1/+1", "/ 1", "/-1", "/1/1/1", "/99999999999999999999"] {
            assert!(
                alloc::format!("{ALICE}{text}").parse::<GroupId>().is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_lease_always_has_the_same_workload() {
        let lease: LeaseId = alloc::format!("{ALICE}/1/1/1/{BOB}").parse().unwrap();
        let id = WorkloadId::of_lease(&lease);
        assert_eq!(id, WorkloadId::of_lease(&lease));
        assert_eq!(id.as_str().parse::<WorkloadId>().unwrap(), id);
    }
}

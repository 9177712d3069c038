use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};
use virtengine_provider_core::time::Timestamp;

use crate::error::KeyError;

/// What a key is for. The two purposes never share a key (spec/chain.md D.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Owns the address and the funds, signs transactions. secp256k1; practically never replaced, since the address comes from it.
    Account,
    /// Signs usage records and API statements. ed25519 by default; rotates.
    Identity,
}

impl Purpose {
    /// The algorithm used when none is chosen.
    #[must_use]
    pub const fn default_algorithm(self) -> Algorithm {
        match self {
            Self::Account => Algorithm::Secp256k1,
            Self::Identity => Algorithm::Ed25519,
        }
    }

    pub(crate) const fn check(self, algorithm: Algorithm) -> Result<(), KeyError> {
        match (self, algorithm) {
            (Self::Account, Algorithm::Ed25519 | Algorithm::P256) => Err(KeyError::UnsupportedAlgorithm {
                purpose: self,
                algorithm,
                reason: "the chain account is a secp256k1 key",
            }),
            (Self::Account, Algorithm::Secp256k1) | (Self::Identity, _) => Ok(()),
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Account => "account",
            Self::Identity => "identity",
        })
    }
}

/// A key's name: the first 8 bytes of the SHA-256 of its public key, as 16 hex digits (spec/reference.md 1.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The id of `key`.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        let digest: [u8; 32] = Sha256::digest(&key.bytes).into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self([a, b, c, d, e, f, g, h])
    }

    pub(crate) const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = hex::FromHexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 8];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(|_| serde::de::Error::custom("a key id is 16 hex digits"))
    }
}

/// Where a key is in its life. DESIGN.md §4 no. 5; the arrows are those of [`Self::may_become`].
///
/// ```text
/// Created ─► Pending ─► Active ─► Rotating ─► Deactivated ─► Archived ─► Destroyed
///    └───────────────────▲ │ ▲        ▲───────────▲  (Active may be deactivated at once)
///                          ▼ │                    │
///                       Suspended ────────────────┘
/// every state before Deactivated, and Deactivated and Archived too, ─► Compromised ─► Destroyed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// Made, not yet put to use.
    Created,
    /// Waits for approval.
    Pending,
    /// Signs.
    Active,
    /// Superseded by a newer key; finishes work begun before.
    Rotating,
    /// Signs nothing until it is made active again.
    Suspended,
    /// Out of use, for good. An expired key is deactivated.
    Deactivated,
    /// Out of use and put away.
    Archived,
    /// Known or suspected to be known to others. Never comes back.
    Compromised,
    /// The private key no longer exists; the public key stays for verification.
    Destroyed,
}

impl KeyState {
    /// All states, in order of life.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Pending,
        Self::Active,
        Self::Rotating,
        Self::Suspended,
        Self::Deactivated,
        Self::Archived,
        Self::Compromised,
        Self::Destroyed,
    ];

    /// Whether the life cycle has the step from this state to `next`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        match self {
            Self::Created => matches!(
                next,
                Self::Pending | Self::Active | Self::Compromised | Self::Destroyed
            ),
            Self::Pending => matches!(next, Self::Active | Self::Compromised | Self::Destroyed),
            Self::Active => matches!(
                next,
                Self::Rotating | Self::Suspended | Self::Deactivated | Self::Compromised
            ),
            Self::Rotating => matches!(next, Self::Active | Self::Deactivated | Self::Compromised),
            Self::Suspended => matches!(
                next,
                Self::Active | Self::Deactivated | Self::Archived | Self::Compromised
            ),
            Self::Deactivated => matches!(next, Self::Archived | Self::Compromised | Self::Destroyed),
            Self::Archived => matches!(next, Self::Compromised | Self::Destroyed),
            Self::Compromised => matches!(next, Self::Destroyed),
            Self::Destroyed => false,
        }
    }

    /// Whether a key in this state signs what callers give it. Only [`Self::Active`] does in this build.
    #[must_use]
    pub const fn may_sign(self) -> bool {
        matches!(self, Self::Active)
    }

    /// Whether a key in this state may prove that its private key is there (`test-sign`): also before activation (NIST SP
    /// 800-57 allows proof of possession only), over a challenge that is never the caller's.
    #[must_use]
    pub const fn may_prove_possession(self) -> bool {
        matches!(
            self,
            Self::Created | Self::Pending | Self::Active | Self::Rotating
        )
    }

    /// Whether the key is, or may still come, into use: then its purpose takes no second key.
    #[must_use]
    pub const fn occupies_purpose(self) -> bool {
        matches!(
            self,
            Self::Created | Self::Pending | Self::Active | Self::Rotating | Self::Suspended
        )
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Rotating => "rotating",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Archived => "archived",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        })
    }
}

/// How a key came into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Drawn at random here; there is no copy elsewhere.
    Generated,
    /// Derived from a mnemonic, which can bring it back.
    Mnemonic,
    /// Given as raw bytes.
    Imported,
}

/// What is known of a key without its secret. Readable while the store is locked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its name, from the public key.
    pub id: KeyId,
    /// What it is for.
    pub purpose: Purpose,
    /// How often the purpose had a key, this one included; starts at 1.
    pub generation: u32,
    /// The public key, with its algorithm.
    pub public_key: PublicKey,
    /// When it entered the store.
    pub created_at: Timestamp,
    /// Where it is in its life.
    pub state: KeyState,
    /// Since when it is in that state.
    pub state_since: Timestamp,
    /// How it came into the store.
    pub origin: Origin,
    /// The BIP-32 path, for keys from a mnemonic.
    pub derivation_path: Option<String>,
}

impl KeyRecord {
    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.public_key.algorithm
    }
}

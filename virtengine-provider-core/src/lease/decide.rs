//! What follows from what happens to a lease.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Lease, Phase};
use crate::id::{Height, LeaseId};
use crate::market::{CloseReason, GroupSpec};
use crate::money::Price;
use crate::time::Timestamp;

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Price per block.
    pub price: Price,
    /// The height at which the lease began.
    pub created_at: Height,
    /// What the tenant ordered.
    pub spec: GroupSpec,
    /// Hash of the announced manifest.
    #[serde(with = "hex::serde")]
    pub manifest_hash: [u8; 32],
}

/// What happens to a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The chain shows a lease of ours.
    Won {
        /// Which.
        id: LeaseId,
        /// What was agreed.
        terms: Box<Terms>,
        /// How long to wait for the manifest.
        manifest_timeout: Duration,
    },
    /// The tenant announced another manifest on chain.
    HashChanged {
        /// The new hash.
        manifest_hash: [u8; 32],
    },
    /// The tenant sent a manifest; it has been read and compared with the order already.
    Manifest {
        /// Its hash.
        manifest_hash: [u8; 32],
    },
    /// We cannot or will not go on.
    GiveUp {
        /// Why; never [`CloseReason::Owner`] nor [`CloseReason::InsufficientFunds`].
        reason: CloseReason,
    },
    /// The chain says that it is closed.
    ClosedOnChain {
        /// The height at which we learned of it.
        height: Height,
        /// Why, as the chain says.
        reason: CloseReason,
    },
    /// The workload is gone and its final record is signed (or there never was one).
    Released,
    /// Time has passed.
    Tick,
}

/// What happened to a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "lease_event", rename_all = "snake_case")]
pub enum Event {
    /// A lease of ours began.
    LeaseStarted {
        /// Which.
        id: LeaseId,
        /// What was agreed.
        terms: Box<Terms>,
        /// When we give up waiting for the manifest.
        deadline: Timestamp,
    },
    /// The announced manifest changed.
    ManifestHashChanged {
        /// Which lease.
        id: LeaseId,
        /// The new hash.
        #[serde(with = "hex::serde")]
        manifest_hash: [u8; 32],
    },
    /// The manifest is the announced one.
    ManifestAccepted {
        /// Which lease.
        id: LeaseId,
        /// When.
        at: Timestamp,
    },
    /// We want out: the chain must be asked to close it.
    LeaseCloseWanted {
        /// Which lease.
        id: LeaseId,
        /// Why.
        reason: CloseReason,
        /// When.
        at: Timestamp,
    },
    /// The chain closed it.
    LeaseClosed {
        /// Which lease.
        id: LeaseId,
        /// The height at which we learned of it.
        height: Height,
        /// Why.
        reason: CloseReason,
    },
    /// Nothing is left to do.
    LeaseFinished {
        /// Which lease.
        id: LeaseId,
        /// When.
        at: Timestamp,
    },
}

impl Event {
    /// The lease that it is about.
    #[must_use]
    pub const fn id(&self) -> &LeaseId {
        match self {
            Self::LeaseStarted { id, .. }
            | Self::ManifestHashChanged { id, .. }
            | Self::ManifestAccepted { id, .. }
            | Self::LeaseCloseWanted { id, .. }
            | Self::LeaseClosed { id, .. }
            | Self::LeaseFinished { id, .. } => id,
        }
    }
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The manifest is not the one that the tenant announced on chain.
    #[error(
        "the manifest's hash is {}, but the deployment on chain says {}",
        hex::encode(sent),
        hex::encode(announced)
    )]
    HashMismatch {
        /// Hash of what was sent.
        sent: [u8; 32],
        /// Hash on chain.
        announced: [u8; 32],
    },
    /// The lease has ended or is ending.
    #[error("the lease is closed")]
    Closed,
    /// A running workload cannot take another manifest: close the lease and order anew.
    #[error("the workload runs already; another manifest for it is not taken")]
    AlreadyServing,
    /// There is no such lease.
    #[error("no such lease")]
    Unknown,
}

/// What follows from `command`; no events means that there is nothing to do (it was done already).
///
/// # Errors
/// [`Rejected`] when the command does not fit; nothing changes then.
pub fn decide(lease: Option<&Lease>, command: Command, now: Timestamp) -> Result<Vec<Event>, Rejected> {
    let Some(lease) = lease else {
        return begin(command, now);
    };
    let id = lease.id.clone();
    match command {
        Command::Won { .. } => Ok(Vec::new()),
        // What runs keeps the manifest that it was made of.
        Command::HashChanged { manifest_hash }
            if manifest_hash != lease.manifest_hash && matches!(lease.phase, Phase::Awaiting { .. }) =>
        {
            Ok(vec![Event::ManifestHashChanged { id, manifest_hash }])
        }
        Command::HashChanged { .. } => Ok(Vec::new()),
        Command::Manifest { manifest_hash } => manifest(lease, manifest_hash, now),
        Command::GiveUp { reason } => Ok(give_up(lease, reason, now)),
        Command::ClosedOnChain { height, reason } if lease.is_live() => {
            Ok(vec![Event::LeaseClosed { id, height, reason }])
        }
        Command::ClosedOnChain { .. } => Ok(Vec::new()),
        Command::Released if matches!(lease.phase, Phase::Closed { .. }) => {
            Ok(vec![Event::LeaseFinished { id, at: now }])
        }
        Command::Released => Ok(Vec::new()),
        Command::Tick => match lease.phase {
            Phase::Awaiting { deadline } if now >= deadline => {
                Ok(give_up(lease, CloseReason::ManifestTimeout, now))
            }
            _ => Ok(Vec::new()),
        },
    }
}

fn begin(command: Command, now: Timestamp) -> Result<Vec<Event>, Rejected> {
    let Command::Won {
        id,
        terms,
        manifest_timeout,
    } = command
    else {
        return Err(Rejected::Unknown);
    };
    Ok(vec![Event::LeaseStarted {
        id,
        terms,
        deadline: now.plus(manifest_timeout),
    }])
}

fn manifest(lease: &Lease, sent: [u8; 32], now: Timestamp) -> Result<Vec<Event>, Rejected> {
    if !lease.is_live() || matches!(lease.phase, Phase::Closing { .. }) {
        return Err(Rejected::Closed);
    }
    let awaiting = matches!(lease.phase, Phase::Awaiting { .. });
    if sent != lease.manifest_hash && !awaiting {
        return Err(Rejected::AlreadyServing);
    }
    if sent != lease.manifest_hash {
        return Err(Rejected::HashMismatch {
            sent,
            announced: lease.manifest_hash,
        });
    }
    if !awaiting {
        return Ok(Vec::new());
    }
    Ok(vec![Event::ManifestAccepted {
        id: lease.id.clone(),
        at: now,
    }])
}

fn give_up(lease: &Lease, reason: CloseReason, now: Timestamp) -> Vec<Event> {
    if !lease.is_live() || matches!(lease.phase, Phase::Closing { .. }) {
        return Vec::new();
    }
    vec![Event::LeaseCloseWanted {
        id: lease.id.clone(),
        reason,
        at: now,
    }]
}

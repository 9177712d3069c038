//! What the world tells the provider.

use virtengine_provider_core::id::{BidId, Height, LeaseId, WorkloadId};
use virtengine_provider_core::manifest::ValidManifest;
use virtengine_provider_core::market::{Bid, Deployment, Lease, Order, SettlementEscrow};
use virtengine_provider_core::ports::adapter::{AdapterError, Counters, Inventory, Observation};
use virtengine_provider_core::ports::chain::{Block, SignedTx, TxOutcome, UsageOnChain};
use virtengine_provider_core::ports::signer::PublicKey;

use super::effect::EffectId;

/// A fact. It is complete: the provider asks nothing back.
#[derive(Debug, Clone)]
pub enum Fact {
    /// The next block of the chain, with what its events only name.
    Block {
        /// The block.
        block: Block,
        /// The orders that its events name and that are open still.
        orders: Vec<Order>,
        /// The leases of ours that its events name, with their deployments.
        leases: Vec<(Lease, Deployment)>,
    },
    /// What the chain says by itself, without events.
    Compared(Box<Comparison>),
    /// A transaction is signed; it may be sent once this is durable.
    TxSigned {
        /// Which effect it carries out.
        effect: EffectId,
        /// The transaction.
        tx: SignedTx,
    },
    /// A transaction has landed or can no longer land.
    TxSettled {
        /// Which effect it carried out.
        effect: EffectId,
        /// Landed or Rejected; [`TxOutcome::Unknown`] is not an end and is ignored.
        outcome: TxOutcome,
    },
    /// The tenant sent a manifest for a lease of ours.
    Manifest {
        /// Which lease.
        lease: LeaseId,
        /// Read and valid.
        manifest: Box<ValidManifest>,
    },
    /// An adapter call ended.
    Answered {
        /// Which effect it carried out.
        effect: EffectId,
        /// Of which workload.
        workload: WorkloadId,
        /// How.
        result: Result<(), AdapterError>,
    },
    /// What the back end says about a workload.
    Observed {
        /// Which.
        workload: WorkloadId,
        /// What.
        observation: Observation,
    },
    /// Counters of a workload.
    Counted {
        /// Which.
        workload: WorkloadId,
        /// What.
        counters: Counters,
    },
    /// The last counters of a workload before its tear-down; `None` when the back end has it no longer.
    FinallyCounted {
        /// Which effect asked.
        effect: EffectId,
        /// Which workload.
        workload: WorkloadId,
        /// What.
        counters: Option<Counters>,
    },
    /// What the back ends have.
    Inventory(Inventory),
    /// A usage record is signed.
    RecordSigned {
        /// Which effect it carried out.
        effect: EffectId,
        /// Of which workload.
        workload: WorkloadId,
        /// Which record of it.
        sequence: u64,
        /// The key that signed.
        key: PublicKey,
        /// One over each message of [`super::ToSign`], in that order; empty when it had been signed before.
        signatures: Vec<Vec<u8>>,
    },
    /// What stands on chain about the money of a lease.
    Settlement(Box<Standing>),
    /// The operator wants something.
    Operator(Wish),
    /// Time has passed.
    Tick,
}

/// What stands on chain about the money of one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The newest block before the questions were asked.
    pub as_of: Height,
    /// The lease.
    pub lease: Lease,
    /// Whether its payment stream is open; it may be after the lease has closed (spec/chain-node.md 2.5).
    pub payment_open: bool,
    /// Settlement escrows of its order.
    pub escrows: Vec<SettlementEscrow>,
    /// Usage recorded for its order.
    pub usage: Vec<UsageOnChain>,
}

/// What the chain says by itself: compared with what we believe, it repairs what events did not tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    /// The height of all of it.
    pub height: Height,
    /// Every open order whose deployment is not known to be closed.
    pub open_orders: Vec<Order>,
    /// Every open or active bid of ours.
    pub bids: Vec<Bid>,
    /// Bids that we believe to be alive and that are not among [`Self::bids`], asked for one by one.
    pub ended_bids: Vec<(BidId, Option<Bid>)>,
    /// Every active lease of ours, with its deployment.
    pub leases: Vec<(Lease, Deployment)>,
    /// Leases that we believe to be alive and that are not among [`Self::leases`], asked for one by one.
    pub ended_leases: Vec<Lease>,
}

/// What the operator wants.
#[derive(Debug, Clone)]
pub enum Wish {
    /// Run a workload of the operator's own.
    Deploy {
        /// Its manifest.
        manifest: Box<ValidManifest>,
        /// Which: derived from the manifest and the moment by the caller.
        workload: WorkloadId,
    },
    /// Pause a workload.
    Pause(WorkloadId),
    /// Resume (or start again) a workload.
    Resume(WorkloadId),
    /// Stop a workload.
    Stop(WorkloadId),
    /// Terminate a workload; a lease that it serves is closed.
    Terminate(WorkloadId),
    /// A usage record that the fraud check holds may be billed: the operator has looked at it.
    ReleaseUsage {
        /// Of which workload.
        workload: WorkloadId,
        /// Which record of it.
        sequence: u64,
    },
}

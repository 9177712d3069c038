//! What planning needs to know, and what it answers.

use serde::{Deserialize, Serialize};
use virtengine_provider_core::fraud::Flag;
use virtengine_provider_core::id::{Address, Height};
use virtengine_provider_core::market::{Lease, SettlementEscrow};
use virtengine_provider_core::ports::chain::{Message, UsageOnChain};
use virtengine_provider_core::time::Timestamp;

use crate::bytes::Canonical;

/// How leases are paid (`settlement.mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SettlementMode {
    /// Per block, from the deployment's escrow.
    #[default]
    LeaseStream,
    /// By usage, from the settlement escrow of the order.
    UsageRecords,
    /// Both.
    Both,
}

impl SettlementMode {
    /// Whether usage is charged: [`crate::meter::Policy::charges`].
    #[must_use]
    pub const fn charges_usage(self) -> bool {
        matches!(self, Self::UsageRecords | Self::Both)
    }

    /// Whether the payment stream is withdrawn.
    #[must_use]
    pub const fn withdraws(self) -> bool {
        matches!(self, Self::LeaseStream | Self::Both)
    }
}

/// How to settle: the operator's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Which payment system.
    pub mode: SettlementMode,
    /// Our account.
    pub provider: Address,
    /// Most `MsgRecordUsage` in one transaction: 20. A record's charges stay together.
    pub records_per_tx: usize,
    /// Most records settled by one message: 50.
    pub settled_per_tx: usize,
    /// Most transactions of one plan: 4. The rest follows when these have landed.
    pub actions_max: usize,
    /// Least unpaid amount that is settled while the lease runs, in base units: worth several fees. 100,000.
    pub settle_min: u128,
    /// What settling one order costs us, in base units: about 950,000 gas (spec/chain-node.md 3), at the chain's least price
    /// 25,000. Nothing is settled that brings less, also when the lease is over; the chain settles it by itself within a day,
    /// for nothing (spec/chain.md B.8). Where [`Self::settle_min`] is lower, that counts.
    pub settle_fee: u128,
    /// What putting one charge on chain costs us, in base units: about 100,000 gas, 2,500. No charge is put on chain when the
    /// escrow holds less than this beyond what it owes for those that are there. Where [`Self::settle_min`] is lower, that
    /// counts.
    pub record_fee: u128,
    /// Least time between two withdrawals, in blocks: 600.
    pub withdraw_blocks: u64,
    /// Least amount that is withdrawn, in base units: worth several fees. 100,000.
    pub withdraw_min: u128,
    /// Whether to activate the pending escrow of a lease of ours, before a stranger makes himself its recipient: yes.
    pub activate_escrow: bool,
    /// Whether to take what is left in the escrow when all is settled and the lease is closed. It is the tenant's money:
    /// no, unless both sides agreed so.
    pub final_settle: bool,
}

impl Policy {
    /// The defaults.
    #[must_use]
    pub const fn new(mode: SettlementMode, provider: Address) -> Self {
        Self {
            mode,
            provider,
            records_per_tx: 20,
            settled_per_tx: 50,
            actions_max: 4,
            settle_min: 100_000,
            settle_fee: 25_000,
            record_fee: 2_500,
            withdraw_blocks: 600,
            withdraw_min: 100_000,
            activate_escrow: true,
            final_settle: false,
        }
    }
}

/// What is known when a plan is made.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Now.
    pub now: Timestamp,
    /// The newest block.
    pub head: Height,
    /// The block that [`Self::escrows`] and [`Self::usage`] are of, or an earlier one. An answer from before our own last
    /// transaction is not acted on.
    pub as_of: Height,
    /// The lease on chain.
    pub lease: &'a Lease,
    /// Whether its payment stream is open: the lease is active, or closed in a way that left it open (spec/chain-node.md 2.5).
    pub payment_open: bool,
    /// The newest block in which anything of ours touched the account of the deployment (also for other leases of it).
    pub account_touched: Option<Height>,
    /// Settlement escrows of the order.
    pub escrows: &'a [SettlementEscrow],
    /// Usage on chain for the order.
    pub usage: &'a [UsageOnChain],
    /// Messages of transactions whose outcome is not known yet.
    pub in_flight: &'a [Message],
}

/// One transaction that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Become the recipient of the order's escrow.
    Activate(Message),
    /// Put usage on chain.
    RecordUsage(Vec<Message>),
    /// Be paid for usage on chain.
    Settle(Message),
    /// Be paid for blocks.
    Withdraw(Message),
}

impl Action {
    /// Its messages, for one transaction.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        match self {
            Self::Activate(message) | Self::Settle(message) | Self::Withdraw(message) => {
                core::slice::from_ref(message)
            }
            Self::RecordUsage(messages) => messages,
        }
    }

    /// An id for the outbox: the same for the same messages.
    #[must_use]
    pub fn id(&self) -> String {
        let kind = match self {
            Self::Activate(_) => "activate",
            Self::RecordUsage(_) => "record-usage",
            Self::Settle(_) => "settle",
            Self::Withdraw(_) => "withdraw",
        };
        let digest = self
            .messages()
            .iter()
            .fold(Canonical::new(kind), |bytes, message| match message {
                Message::RecordUsage { signature, .. } => bytes.bytes(signature),
                Message::SettleOrder {
                    order_id,
                    usage_record_ids,
                    is_final,
                } => {
                    let head = bytes.text(order_id).u64(u64::from(*is_final));
                    usage_record_ids.iter().fold(head, |bytes, id| bytes.text(id))
                }
                Message::ActivateEscrow { escrow_id, .. } => bytes.text(escrow_id),
                Message::WithdrawLease { id } => bytes.text(&id.to_string()),
                other => bytes.text(&format!("{other:?}")),
            });
        let digest = digest.digest();
        format!(
            "{kind}/{}",
            hex::encode(digest.first_chunk::<16>().unwrap_or(&[0; 16]))
        )
    }
}

/// Something that the operator may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Note {
    /// The chain's answer is older than our last transaction: asked again later.
    Stale,
    /// The tenant made no escrow for the order: usage waits. Normal.
    NoEscrow,
    /// An escrow that is not acted on.
    EscrowRefused {
        /// Which.
        escrow_id: String,
        /// Why.
        why: String,
    },
    /// The escrow waits to be activated.
    EscrowPending {
        /// Which.
        escrow_id: String,
    },
    /// The escrow holds less than what is unpaid.
    EscrowShort {
        /// Which.
        escrow_id: String,
        /// What it holds, in base units.
        balance: u128,
        /// What is unpaid, in base units.
        unpaid: u128,
    },
    /// Settling brings less than its fee: it waits.
    NotWorthItsFee {
        /// Which escrow.
        escrow_id: String,
        /// What we would be paid, in base units, the chain's own share taken off.
        collectible: u128,
        /// What settling costs, in base units.
        fee: u128,
    },
    /// A record waits for the operator.
    Held {
        /// Which.
        sequence: u64,
        /// Why.
        flags: Vec<Flag>,
    },
    /// Usage on chain for our order that we did not send.
    ForeignUsage {
        /// Which.
        usage_id: String,
    },
    /// One of our charges is on chain twice; only the first is settled.
    DoubleUsage {
        /// Which.
        usage_id: String,
    },
}

/// What is wanted next, and what is worth knowing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Plan {
    /// Transactions, in this order.
    pub actions: Vec<Action>,
    /// Remarks.
    pub notes: Vec<Note>,
}

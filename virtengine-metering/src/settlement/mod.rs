//! From records to money: what to send to the chain next for one lease, and never twice.
//!
//! [`Books`] keep, per lease, the charges that are not yet paid. [`plan`] compares them with what the chain says and answers with
//! the wanted [`Action`]s, each one transaction. It is level-triggered: called again with the same facts it wants the same, called
//! with what has landed it wants less. A charge on chain is known by type, period, units and signature, so a transaction that
//! landed unnoticed is found and not repeated.
//!
//! | mode | what is planned |
//! |---|---|
//! | `lease-stream` | withdrawals from the lease's payment stream |
//! | `usage-records` | usage records to the settlement escrow of the order, then settling them by their ids |
//! | `both` | both |
//!
//! Rules of the chain that are kept here (spec/chain.md B.5, B.8; spec/chain-node.md 2.4, 2.5):
//! - no escrow for the order is normal: records wait; nothing is lost, nothing is sent;
//! - an escrow counts only when its order, lease and recipient are exactly ours (anybody may activate one);
//! - settling always names the records: without names the chain pays some of them twice;
//! - `is_final` takes the whole remaining escrow whatever the usage: only on the operator's explicit wish, only with the lease
//!   closed and every record on chain;
//! - no fee is spent on what cannot be collected: usage goes on chain only as far as the escrow reaches, and is settled only
//!   when our share of it is worth the fee ([`Policy::settle_fee`]);
//! - what the fraud rules hold waits for [`BooksCommand::Release`], however long; what follows it does not wait;
//! - withdrawing twice in one block fails: at least one block between two touches of a deployment's account.

mod books;
mod escrow;
mod facts;
mod plan;

pub use books::{Books, BooksCommand, BooksEvent, BooksRejected, ChargeState, Entry, Held};
pub use facts::{Action, Facts, Note, Plan, Policy, SettlementMode};
pub use plan::plan;

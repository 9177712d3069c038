//! Which escrow pays for a lease.

use virtengine_provider_core::id::{Address, LeaseId};
use virtengine_provider_core::market::SettlementEscrow;
use virtengine_provider_core::money::Denom;
use virtengine_provider_core::time::Timestamp;

use super::facts::Note;

/// What an escrow is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It pays us.
    Ours,
    /// It waits to be activated.
    Pending,
    /// It is not acted on, and why.
    Refused(String),
}

/// Exactly ours, or not at all: anybody may activate an escrow, for any lease and recipient.
pub(super) fn standing(
    escrow: &SettlementEscrow,
    lease: &LeaseId,
    provider: &Address,
    now: Timestamp,
) -> Standing {
    let refuse = |why: String| Standing::Refused(why);
    if escrow.order_id != lease.order.to_string() {
        return refuse(format!("it is of order {}", escrow.order_id));
    }
    if escrow.expires_at <= now.as_seconds() {
        return refuse("it has expired".to_owned());
    }
    match (escrow.state.as_str(), &escrow.recipient) {
        ("pending", None) => Standing::Pending,
        ("active", Some(recipient)) if recipient != provider => {
            refuse(format!("it pays {recipient}, not us"))
        }
        ("active", Some(_)) if escrow.lease_id != lease.to_string() => {
            refuse(format!("it is of lease {:?}", escrow.lease_id))
        }
        ("active", Some(_)) => Standing::Ours,
        (state, _) => refuse(format!("its state is {state}")),
    }
}

/// The escrow to act on, with remarks about the others.
pub(super) fn choose<'a>(
    escrows: &'a [SettlementEscrow],
    lease: &LeaseId,
    provider: &Address,
    now: Timestamp,
    notes: &mut Vec<Note>,
) -> Option<(&'a SettlementEscrow, Standing)> {
    let mut chosen: Option<(&SettlementEscrow, Standing)> = None;
    for escrow in escrows {
        match standing(escrow, lease, provider, now) {
            Standing::Refused(why) => notes.push(Note::EscrowRefused {
                escrow_id: escrow.id.clone(),
                why,
            }),
            standing => {
                let better = chosen
                    .as_ref()
                    .is_none_or(|(_, known)| *known == Standing::Pending);
                if better {
                    chosen = Some((escrow, standing));
                }
            }
        }
    }
    if escrows.is_empty() {
        notes.push(Note::NoEscrow);
    }
    chosen
}

/// What an escrow holds of `denom`.
pub(super) fn balance(escrow: &SettlementEscrow, denom: &Denom) -> u128 {
    let coins = escrow.balance.iter().filter(|coin| coin.denom == *denom);
    coins.fold(0, |sum, coin| sum.saturating_add(coin.amount))
}

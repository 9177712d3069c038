//! What to send next.

use virtengine_provider_core::market::{LeaseState, SettlementEscrow};
use virtengine_provider_core::ports::chain::Message;

use super::books::{Books, ChargeState, is_same};
use super::escrow::{self, Standing};
use super::facts::{Action, Facts, Note, Plan, Policy};
use crate::signed::SignedCharge;

/// What is wanted for the lease of `books`. Asks for nothing that is on chain, or in flight.
#[must_use]
pub fn plan(books: &Books, policy: &Policy, facts: &Facts<'_>) -> Plan {
    let mut plan = Plan::default();
    if facts.lease.id != *books.lease() {
        return plan;
    }
    for (sequence, held) in books.held() {
        plan.notes.push(Note::Held {
            sequence,
            flags: held.flags.clone(),
        });
    }
    if policy.mode.charges_usage() {
        if facts.as_of < books.landed() {
            plan.notes.push(Note::Stale);
        } else {
            usage(books, policy, facts, &mut plan);
        }
    }
    if policy.mode.withdraws()
        && let Some(withdrawal) = withdrawal(books, policy, facts)
    {
        plan.actions.push(withdrawal);
    }
    plan.actions.truncate(policy.actions_max.max(1));
    plan
}

fn usage(books: &Books, policy: &Policy, facts: &Facts<'_>, plan: &mut Plan) {
    remark_on_strangers(books, facts, &mut plan.notes);
    let chosen = escrow::choose(
        facts.escrows,
        books.lease(),
        &policy.provider,
        facts.now,
        &mut plan.notes,
    );
    match chosen {
        None | Some((_, Standing::Refused(_))) => {}
        Some((escrow, Standing::Pending)) => activate(books, policy, facts, escrow, plan),
        Some((escrow, Standing::Ours)) => {
            let open = on_chain(books, facts);
            record(
                books,
                policy,
                facts,
                room(books, policy, facts, escrow, &open),
                plan,
            );
            settle(books, policy, facts, escrow, &open, plan);
        }
    }
}

fn activate(books: &Books, policy: &Policy, facts: &Facts<'_>, escrow: &SettlementEscrow, plan: &mut Plan) {
    plan.notes.push(Note::EscrowPending {
        escrow_id: escrow.id.clone(),
    });
    let sent =
        |m: &Message| matches!(m, Message::ActivateEscrow { escrow_id, .. } if *escrow_id == escrow.id);
    let wanted = policy.activate_escrow && facts.lease.state == LeaseState::Active;
    if wanted && !facts.in_flight.iter().any(sent) {
        plan.actions.push(Action::Activate(Message::ActivateEscrow {
            escrow_id: escrow.id.clone(),
            lease_id: books.lease().to_string(),
            recipient: policy.provider.clone(),
        }));
    }
}

/// What the escrow can still pay for charges that are not on chain, in base units; 0 when that is not worth their fee.
fn room(
    books: &Books,
    policy: &Policy,
    facts: &Facts<'_>,
    escrow: &SettlementEscrow,
    open: &[(String, &SignedCharge)],
) -> u128 {
    let free = books.entries().filter(|(_, entry)| entry.held.is_none());
    let charges = free.flat_map(|(_, entry)| &entry.charges);
    let due: Vec<&SignedCharge> = charges
        .filter(|(signed, state)| *state == ChargeState::Due && !is_listed(signed, facts))
        .map(|(signed, _)| signed)
        .collect();
    let Some(first) = due.first() else { return 0 };
    let balance = escrow::balance(escrow, &first.charge.unit_price.denom);
    let owed = cost(open.iter().map(|(_, signed)| *signed));
    // When the lease is over nothing is added any more to what will be settled.
    let at_most = balance.min(owed.saturating_add(cost(due.iter().copied())));
    let is_over = facts.lease.state != LeaseState::Active;
    if is_over && !is_worth_settling(at_most, policy) {
        return 0;
    }
    let under_way = cost(due.iter().copied().filter(|signed| is_under_way(signed, facts)));
    let room = balance.saturating_sub(owed).saturating_sub(under_way);
    let least = policy.record_fee.min(policy.settle_min).max(1);
    if room >= least { room } else { 0 }
}

fn is_listed(signed: &SignedCharge, facts: &Facts<'_>) -> bool {
    facts.usage.iter().any(|usage| is_same(signed, usage))
}

fn is_under_way(signed: &SignedCharge, facts: &Facts<'_>) -> bool {
    let same =
        |m: &Message| matches!(m, Message::RecordUsage { signature, .. } if *signature == signed.signature);
    facts.in_flight.iter().any(same)
}

/// Charges that are neither on chain nor under way, a record's charges together, as far as the escrow reaches.
fn record(books: &Books, policy: &Policy, facts: &Facts<'_>, room: u128, plan: &mut Plan) {
    let sent = |wanted: &SignedCharge| is_under_way(wanted, facts) || is_listed(wanted, facts);
    let mut messages: Vec<Message> = Vec::new();
    let mut room = room;
    for (_, entry) in books.entries().filter(|(_, entry)| entry.held.is_none()) {
        let due: Vec<&SignedCharge> = entry
            .charges
            .iter()
            .filter(|(signed, state)| *state == ChargeState::Due && !sent(signed))
            .map(|(signed, _)| signed)
            .collect();
        if due.is_empty() {
            continue;
        }
        if room == 0 {
            break;
        }
        room = room.saturating_sub(cost(due.iter().copied()));
        if !messages.is_empty() && messages.len().saturating_add(due.len()) > policy.records_per_tx {
            plan.actions
                .push(Action::RecordUsage(core::mem::take(&mut messages)));
        }
        if plan.actions.len() >= policy.actions_max {
            return;
        }
        messages.extend(due.into_iter().map(SignedCharge::message));
    }
    if !messages.is_empty() {
        plan.actions.push(Action::RecordUsage(messages));
    }
}

/// Records on chain that are not paid, by their ids, as far as the escrow reaches.
fn settle(
    books: &Books,
    policy: &Policy,
    facts: &Facts<'_>,
    escrow: &SettlementEscrow,
    open: &[(String, &SignedCharge)],
    plan: &mut Plan,
) {
    let order = books.lease().order.to_string();
    let sent = |m: &Message| matches!(m, Message::SettleOrder { order_id, .. } if *order_id == order);
    if facts.in_flight.iter().any(sent) {
        return;
    }
    let Some((_, first)) = open.first() else { return };
    let balance = escrow::balance(escrow, &first.charge.unit_price.denom);
    let unpaid = cost(open.iter().map(|(_, signed)| *signed));
    if balance < unpaid {
        plan.notes.push(Note::EscrowShort {
            escrow_id: escrow.id.clone(),
            balance,
            unpaid,
        });
    }
    let named = affordable(open, balance, policy.settled_per_tx.max(1));
    let ids: Vec<String> = named.iter().map(|(id, _)| id.clone()).collect();
    let is_over = facts.lease.state != LeaseState::Active;
    let is_everything =
        ids.len() == open.len() && books.entries().all(|(_, entry)| is_on_chain(entry, facts));
    let is_final = policy.final_settle && is_over && books.is_complete() && is_everything;
    let collectible = if is_final {
        balance
    } else {
        balance.min(cost(named.iter().map(|(_, signed)| *signed)))
    };
    let is_enough = is_over || balance.min(unpaid) >= policy.settle_min;
    if !is_enough || collectible == 0 {
        return;
    }
    if !is_worth_settling(collectible, policy) {
        plan.notes.push(Note::NotWorthItsFee {
            escrow_id: escrow.id.clone(),
            collectible: share(collectible),
            fee: policy.settle_fee,
        });
        return;
    }
    plan.actions.push(Action::Settle(Message::SettleOrder {
        order_id: order,
        usage_record_ids: ids,
        is_final,
    }));
}

/// What the chain leaves us of a settlement, in percent: 5 go to the platform and 1 to the validators (spec/chain.md B.8).
const SHARE_PERCENT: u128 = 94;

/// Our part of `amount`, rounded down.
fn share(amount: u128) -> u128 {
    // In hundreds and the rest apart: no product can overflow.
    let rest = (amount % 100).saturating_mul(SHARE_PERCENT) / 100;
    (amount / 100).saturating_mul(SHARE_PERCENT).saturating_add(rest)
}

/// Whether settling `amount` brings more than it costs, or as much as the operator settles anyway.
fn is_worth_settling(amount: u128, policy: &Policy) -> bool {
    amount >= policy.settle_min || share(amount) >= policy.settle_fee
}

fn cost<'a>(charges: impl Iterator<Item = &'a SignedCharge>) -> u128 {
    charges.fold(0, |sum, signed| sum.saturating_add(signed.charge.cost))
}

/// Usage ids of charges that are on chain and unpaid, oldest first. The chain's own list counts, when it has them.
fn on_chain<'a>(books: &'a Books, facts: &Facts<'_>) -> Vec<(String, &'a SignedCharge)> {
    let charges = books.entries().flat_map(|(_, entry)| &entry.charges);
    let open = charges.filter_map(|(signed, state)| {
        let mut listed = facts.usage.iter().filter(|usage| is_same(signed, usage));
        match (listed.next(), state) {
            (_, ChargeState::Settled) => None,
            (Some(first), _) => {
                let paid = first.settled || listed.any(|usage| usage.settled);
                (!paid).then(|| (first.id.clone(), signed))
            }
            // An id that only our own transaction told us, and the list does not confirm: wait for the list.
            (None, _) => None,
        }
    });
    open.collect()
}

fn is_on_chain(entry: &super::books::Entry, facts: &Facts<'_>) -> bool {
    entry.held.is_none()
        && entry
            .charges
            .iter()
            .all(|(signed, state)| *state == ChargeState::Settled || is_listed(signed, facts))
}

/// The charges that are settled next, oldest first. Of all charges the largest are taken, so that no small ones stand in the way
/// of what is worth its fee; and only such as the balance pays in full: the chain marks a record as paid even when the escrow ran
/// dry on it. When it pays none in full, one gets what there is.
fn affordable<'a, 'b>(
    open: &'a [(String, &'b SignedCharge)],
    balance: u128,
    most: usize,
) -> Vec<&'a (String, &'b SignedCharge)> {
    let mut by_cost: Vec<usize> = (0..open.len()).collect();
    by_cost.sort_by_key(|index| core::cmp::Reverse(open.get(*index).map(|(_, signed)| signed.charge.cost)));
    let mut left = balance;
    let mut chosen: Vec<usize> = by_cost
        .iter()
        .copied()
        .filter(|index| {
            let costs = open
                .get(*index)
                .map_or(u128::MAX, |(_, signed)| signed.charge.cost);
            let rest = left.checked_sub(costs);
            left = rest.unwrap_or(left);
            rest.is_some()
        })
        .take(most)
        .collect();
    if chosen.is_empty() {
        chosen.extend(by_cost.first());
    }
    chosen.sort_unstable();
    chosen.into_iter().filter_map(|index| open.get(index)).collect()
}

/// Usage on chain that is not ours, or is ours twice.
fn remark_on_strangers(books: &Books, facts: &Facts<'_>, notes: &mut Vec<Note>) {
    let charges: Vec<&SignedCharge> = books
        .entries()
        .flat_map(|(_, entry)| &entry.charges)
        .map(|(signed, _)| signed)
        .collect();
    for (index, usage) in facts.usage.iter().enumerate().filter(|(_, usage)| !usage.settled) {
        let Some(signed) = charges.iter().find(|signed| is_same(signed, usage)) else {
            notes.push(Note::ForeignUsage {
                usage_id: usage.id.clone(),
            });
            continue;
        };
        let mut before = facts.usage.iter().take(index);
        if before.any(|earlier| earlier.id != usage.id && is_same(signed, earlier)) {
            notes.push(Note::DoubleUsage {
                usage_id: usage.id.clone(),
            });
        }
    }
}

fn withdrawal(books: &Books, policy: &Policy, facts: &Facts<'_>) -> Option<Action> {
    let lease = facts.lease;
    if !facts.payment_open || lease.id.provider != policy.provider {
        return None;
    }
    let last = books.withdrawn().unwrap_or(lease.created_at);
    let blocks = facts.head.0.saturating_sub(last.0);
    let owed = lease
        .price
        .amount
        .mul_div_floor(u128::from(blocks), 1)
        .ok()?
        .floor();
    // What the account really holds is not asked: a withdrawal from one that ran dry pays the rest and ends the lease, while
    // without it nothing on chain would ever notice and the service would run on unpaid (spec/chain.md B.5).
    let touched = facts.account_touched.max(books.withdrawn());
    let same_block = touched.is_some_and(|touched| facts.head <= touched);
    let deployment = lease.id.deployment();
    let touches = |m: &Message| match m {
        Message::WithdrawLease { id } | Message::CloseBid { id, .. } => id.deployment() == deployment,
        _ => false,
    };
    let wanted = blocks >= policy.withdraw_blocks && owed >= policy.withdraw_min && owed > 0;
    if !wanted || same_block || facts.in_flight.iter().any(touches) {
        return None;
    }
    Some(Action::Withdraw(Message::WithdrawLease { id: lease.id.clone() }))
}

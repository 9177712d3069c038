//! Several messages in one transaction. One failing message fails all of a transaction, so only independent ones go together,
//! and only those that a simulation accepts.

use virtengine_provider_core::ports::chain::{ChainError, ChainQuery as _, Message, RejectKind, Rejection};

use super::Pipeline;
use crate::rejection::failed_message;

/// Messages of one transaction: enough to save fees, few enough that one late failure does not cost much.
const MESSAGES_MAX: usize = 10;
/// Messages of one call.
const CALL_MAX: usize = 256;

/// Which messages can go together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// Positions of messages; each group is one transaction. Groups that touch the same lease or deployment must not land in
    /// one block: sign a group after the one before it has landed.
    pub groups: Vec<Vec<usize>>,
    /// Messages that the chain would refuse now, and why.
    pub refused: Vec<(usize, Rejection)>,
}

impl Pipeline {
    /// Groups independent messages into transactions that the chain accepts, as far as a simulation can tell.
    ///
    /// # Errors
    /// More than 256 messages, or [`ChainError`] of a simulation that is not one message's fault.
    pub async fn batch(&self, messages: &[Message]) -> Result<Batch, ChainError> {
        if messages.len() > CALL_MAX {
            let words = format!("{} messages, at most {CALL_MAX} at once", messages.len());
            return Err(super::refuse(RejectKind::Invalid, words));
        }
        let mut batch = Batch::default();
        let mut waiting = independent_groups(messages);
        // Last in, first out: begin with the first group.
        waiting.reverse();
        while let Some(group) = waiting.pop() {
            match self.try_group(messages, &group).await? {
                Verdict::Fits => batch.groups.push(group),
                Verdict::Without(position, rejection) => {
                    let (refused, rest) = take_out(group, position);
                    batch.refused.extend(refused.map(|index| (index, rejection)));
                    if !rest.is_empty() {
                        waiting.push(rest);
                    }
                }
                Verdict::Split => {
                    let middle = group.len() / 2;
                    let (left, right) = group.split_at(middle);
                    waiting.push(right.to_vec());
                    waiting.push(left.to_vec());
                }
            }
        }
        batch.groups.sort();
        batch.refused.sort_by_key(|(index, _)| *index);
        Ok(batch)
    }

    async fn try_group(&self, messages: &[Message], group: &[usize]) -> Result<Verdict, ChainError> {
        let chosen: Vec<Message> = group
            .iter()
            .filter_map(|index| messages.get(*index).cloned())
            .collect();
        let alone = group.len() == 1;
        let head = self.client.head().await?;
        let wire_messages = match self.wire_messages(&chosen) {
            Ok(messages) => messages,
            Err(ChainError::Rejected(rejection)) if alone => return Ok(Verdict::Without(0, rejection)),
            Err(ChainError::Rejected(_)) => return Ok(Verdict::Split),
            Err(error) => return Err(error),
        };
        let _turn = self.turn.lock().await;
        match self.simulated_gas(wire_messages, head.height).await {
            Ok(gas) if alone || self.state().gas.limit(gas) <= self.client.config().gas_max => {
                Ok(Verdict::Fits)
            }
            Ok(_) => Ok(Verdict::Split),
            Err(ChainError::Rejected(rejection)) if !is_about_the_sender(rejection.kind) => {
                // Inside MsgExec the index is always that of MsgExec itself.
                let index =
                    failed_message(&rejection.log).filter(|_| self.acting_address == self.signing_address);
                Ok(match index.filter(|index| *index < group.len()) {
                    Some(index) => Verdict::Without(index, rejection),
                    None if alone => Verdict::Without(0, rejection),
                    None => Verdict::Split,
                })
            }
            Err(error) => Err(error),
        }
    }
}

enum Verdict {
    Fits,
    Without(usize, Rejection),
    Split,
}

/// Refusals that taking a message out does not heal.
const fn is_about_the_sender(kind: RejectKind) -> bool {
    matches!(
        kind,
        RejectKind::SequenceMismatch | RejectKind::RateLimited | RejectKind::Busy | RejectKind::FeeTooLow
    )
}

fn take_out(mut group: Vec<usize>, position: usize) -> (Option<usize>, Vec<usize>) {
    let refused = (position < group.len()).then(|| group.remove(position));
    (refused, group)
}

fn independent_groups(messages: &[Message]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let fits = |group: &Vec<usize>| {
            group.len() < MESSAGES_MAX
                && group
                    .iter()
                    .filter_map(|other| messages.get(*other))
                    .all(|other| !depend(message, other))
        };
        // Never in front of a group that it depends on.
        let after = groups.iter().rposition(|group| {
            let mut others = group.iter().filter_map(|other| messages.get(*other));
            others.any(|other| depend(message, other))
        });
        let first = after.map_or(0, |position| position + 1);
        match groups.iter_mut().skip(first).find(|group| fits(group)) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// Whether two messages must not be in one transaction.
fn depend(a: &Message, b: &Message) -> bool {
    use Message::{CloseBid, CreateBid, Heartbeat, RecordUsage, SettleOrder, WithdrawLease};
    match (a, b) {
        (CreateBid { id: a, .. }, CreateBid { id: b, .. }) => a.order == b.order,
        // Two settles of one escrow account in one block: the second one panics (spec/chain.md B.5).
        (
            CreateBid { id: a, .. } | CloseBid { id: a, .. } | WithdrawLease { id: a },
            CreateBid { id: b, .. } | CloseBid { id: b, .. } | WithdrawLease { id: b },
        ) => a.deployment() == b.deployment(),
        (RecordUsage { .. }, RecordUsage { .. }) => false,
        (
            RecordUsage { order_id: a, .. } | SettleOrder { order_id: a, .. },
            RecordUsage { order_id: b, .. } | SettleOrder { order_id: b, .. },
        ) => a == b,
        (Heartbeat(a), Heartbeat(b)) => {
            (a.resource_class, &a.inventory_id) == (b.resource_class, &b.inventory_id)
        }
        _ => !(is_of_provider(a) && is_of_provider(b)),
    }
}

/// Messages of which we know what they touch.
const fn is_of_provider(message: &Message) -> bool {
    matches!(
        message,
        Message::CreateBid { .. }
            | Message::CloseBid { .. }
            | Message::WithdrawLease { .. }
            | Message::RecordUsage { .. }
            | Message::SettleOrder { .. }
            | Message::Heartbeat(_)
    )
}

#[cfg(test)]
mod tests {
    use virtengine_provider_core::id::LeaseId;
    use virtengine_provider_core::money::{Decimal, Price};

    use super::*;

    fn withdraw(dseq: u64, gseq: u32) -> Message {
        let owner = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";
        let provider = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";
        let id: LeaseId = format!("{owner}/{dseq}/{gseq}/1/{provider}").parse().unwrap();
        Message::WithdrawLease { id }
    }

    fn usage(order: &str) -> Message {
        Message::RecordUsage {
            order_id: order.to_owned(),
            lease_id: "l".to_owned(),
            usage_units: 1,
            usage_type: "cpu".to_owned(),
            period_start: 0,
            period_end: 1,
            unit_price: Price::new("uve".parse().unwrap(), Decimal::from_scaled(1)),
            signature: vec![1],
        }
    }

    fn settle(order: &str) -> Message {
        Message::SettleOrder {
            order_id: order.to_owned(),
            usage_record_ids: vec!["u".to_owned()],
            is_final: false,
        }
    }

    #[test]
    fn two_withdrawals_from_one_deployment_are_two_transactions() {
        let messages = [withdraw(1, 1), withdraw(1, 2), withdraw(2, 1)];
        assert_eq!(independent_groups(&messages), [vec![0, 2], vec![1]]);
    }

    #[test]
    fn a_settlement_comes_after_the_usage_that_it_pays() {
        let messages = [usage("a"), usage("a"), settle("a"), usage("b"), settle("b")];
        assert_eq!(independent_groups(&messages), [vec![0, 1, 3], vec![2, 4]]);
    }

    #[test]
    fn a_group_has_a_limit() {
        let messages = vec![usage("a"); 25];
        let sizes: Vec<usize> = independent_groups(&messages).iter().map(Vec::len).collect();
        assert_eq!(sizes, [10, 10, 5]);
    }
}

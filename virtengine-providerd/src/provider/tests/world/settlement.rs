//! The chain's settlement module: escrows, usage, payment (spec/chain.md B.8).

use virtengine_provider_core::ports::chain::{Message, RejectKind, UsageOnChain};

use super::chain::{Chain, Ran, rejection};

impl Chain {
    pub(super) fn run_settlement(&mut self, message: &Message) -> Ran {
        match message {
            Message::ActivateEscrow {
                escrow_id,
                lease_id,
                recipient,
            } => {
                let pending = self.escrows.values_mut().find(|escrow| escrow.id == *escrow_id);
                let escrow = pending.filter(|escrow| escrow.state == "pending");
                let escrow = escrow.ok_or_else(|| rejection(RejectKind::StateChanged))?;
                escrow.state = "active".to_owned();
                escrow.lease_id.clone_from(lease_id);
                escrow.recipient = Some(recipient.clone());
                Ok(String::new())
            }
            Message::RecordUsage {
                order_id, signature, ..
            } => {
                let known = self.usage.values().map(Vec::len).sum::<usize>();
                let list = self.usage.entry(order_id.clone()).or_default();
                if list.iter().any(|usage| usage.signature == *signature) {
                    self.sins.push("a charge is on chain twice".to_owned());
                }
                let id = format!("usage-{known}");
                list.push(usage(id.clone(), message));
                Ok(id)
            }
            Message::SettleOrder {
                order_id,
                usage_record_ids,
                ..
            } => {
                let list = self.usage.entry(order_id.clone()).or_default();
                for usage in list
                    .iter_mut()
                    .filter(|usage| usage_record_ids.contains(&usage.id))
                {
                    if std::mem::replace(&mut usage.settled, true) {
                        self.sins.push(format!("{} is paid twice", usage.id));
                    }
                }
                Ok(String::new())
            }
            other => panic!("a provider does not send {other:?}"),
        }
    }
}

fn usage(id: String, message: &Message) -> UsageOnChain {
    let Message::RecordUsage {
        usage_units,
        usage_type,
        period_start,
        period_end,
        signature,
        ..
    } = message
    else {
        panic!("not usage")
    };
    UsageOnChain {
        id,
        usage_type: usage_type.clone(),
        usage_units: *usage_units,
        period_start: *period_start,
        period_end: *period_end,
        total_cost: Vec::new(),
        settled: false,
        signature: signature.clone(),
    }
}

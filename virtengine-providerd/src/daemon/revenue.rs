//! What came in, from the chain's own answers: what leases have paid out, and what usage was settled. Amounts are before the
//! chain's fees.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use virtengine_provider_core::id::LeaseId;
use virtengine_provider_core::money::{Coin, Denom};
use virtengine_provider_core::ports::chain::UsageOnChain;
use virtengine_provider_core::time::Timestamp;

/// How far back income is remembered.
const DAY: Duration = Duration::from_secs(86_400);

/// Income, as it is seen. Not kept: after a start it counts from the first answer of the chain on.
#[derive(Debug)]
pub(super) struct Revenue {
    denom: Denom,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// All that each lease has brought in.
    leases: BTreeMap<LeaseId, u128>,
    /// What came in when.
    income: VecDeque<(Timestamp, u128)>,
}

impl Revenue {
    pub(super) fn new(denom: Denom) -> Self {
        Self {
            denom,
            seen: Mutex::default(),
        }
    }

    /// Takes note of what the chain says about a lease; the answer is what came in since it was asked last.
    pub(super) fn note(
        &self,
        lease: &LeaseId,
        withdrawn: &Coin,
        usage: &[UsageOnChain],
        now: Timestamp,
    ) -> Option<Coin> {
        let settled = usage
            .iter()
            .filter(|record| record.settled)
            .flat_map(|record| &record.total_cost);
        let ours = settled.chain([withdrawn]).filter(|coin| coin.denom == self.denom);
        let total = ours.fold(0_u128, |sum, coin| sum.saturating_add(coin.amount));
        let mut seen = self.lock();
        let before = seen.leases.insert(lease.clone(), total)?;
        let income = total.saturating_sub(before);
        if income == 0 {
            return None;
        }
        seen.income.push_back((now, income));
        seen.forget(now);
        Some(Coin::new(self.denom.clone(), income))
    }

    /// What a lease has brought in so far; `None` until the chain was asked.
    pub(super) fn of_lease(&self, lease: &LeaseId) -> Option<Coin> {
        self.lock()
            .leases
            .get(lease)
            .map(|amount| Coin::new(self.denom.clone(), *amount))
    }

    /// What came in during the last 24 hours, as far as this process has seen it.
    pub(super) fn last_day(&self, now: Timestamp) -> Coin {
        let mut seen = self.lock();
        seen.forget(now);
        let sum = seen
            .income
            .iter()
            .fold(0_u128, |sum, (_, amount)| sum.saturating_add(*amount));
        Coin::new(self.denom.clone(), sum)
    }

    /// Forgets leases that are no longer asked about.
    pub(super) fn keep_only(&self, leases: &[LeaseId]) {
        self.lock().leases.retain(|lease, _| leases.contains(lease));
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn forget(&mut self, now: Timestamp) {
        let begin = now.minus(DAY);
        while self.income.front().is_some_and(|(at, _)| *at < begin) {
            self.income.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: &str =
        "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f/7/1/1/ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";

    fn usage(cost: &str, settled: bool) -> UsageOnChain {
        UsageOnChain {
            id: "usage-1".to_owned(),
            usage_type: "cpu".to_owned(),
            usage_units: 1,
            period_start: 0,
            period_end: 60,
            total_cost: vec![cost.parse().unwrap()],
            settled,
            signature: vec![1],
        }
    }

    #[test]
    fn income_is_what_was_added_since_the_last_answer_and_ages() {
        let (revenue, lease) = (Revenue::new("uve".parse().unwrap()), LEASE.parse().unwrap());
        let at = Timestamp::from_seconds;
        let withdrawn = |amount| Coin::new("uve".parse().unwrap(), amount);
        // The first answer is where counting begins: nobody knows when that money came.
        assert_eq!(
            revenue.note(&lease, &withdrawn(100), &[usage("7uve", false)], at(0)),
            None
        );
        let income = revenue.note(&lease, &withdrawn(150), &[usage("7uve", true)], at(10));
        assert_eq!(income, Some("57uve".parse().unwrap()));
        assert_eq!(revenue.of_lease(&lease), Some("157uve".parse().unwrap()));
        assert_eq!(revenue.last_day(at(86_000)), "57uve".parse().unwrap());
        assert_eq!(revenue.last_day(at(86_411)), "0uve".parse().unwrap());
    }
}

//! What is durable.

use std::collections::BTreeSet;

use virtengine_provider_core::ports::journal::StoredEvent;
use virtengine_provider_core::time::Timestamp;

use crate::provider::{Decision, Effect, EffectId, Planned, Provider, Settings};

/// A journal with the rules of the real one.
#[derive(Debug, Default)]
pub(in super::super) struct Journal {
    pub events: Vec<StoredEvent>,
    pub outbox: Vec<Planned>,
    cursor: u64,
    snapshot: Option<(usize, Vec<u8>)>,
    /// Names of transactions and adapter calls that were wanted: none is ever used for something else.
    named: BTreeSet<EffectId>,
}

impl Journal {
    pub(super) fn commit(&mut self, decision: &Decision, now: Timestamp) {
        self.events
            .extend(decision.events.iter().map(|event| event.stored(now)));
        self.outbox.retain(|planned| !decision.done.contains(&planned.id));
        for planned in &decision.effects {
            let stored = planned.stored();
            let planned = Planned::from_stored(&stored).unwrap();
            match self.outbox.iter_mut().find(|other| other.id == planned.id) {
                Some(other) => {
                    assert_eq!(other.effect, planned.effect, "{} means two things", planned.id);
                    *other = planned;
                }
                None => {
                    let once = matches!(
                        planned.effect,
                        Effect::SendTx { .. } | Effect::Infrastructure { .. }
                    );
                    let fresh = self.named.insert(planned.id.clone());
                    assert!(fresh || !once, "{} is wanted again", planned.id);
                    self.outbox.push(planned);
                }
            }
        }
        self.cursor = decision.cursor.unwrap_or(self.cursor);
    }

    pub(super) fn snapshot(&mut self, state: Vec<u8>) {
        self.snapshot = Some((self.events.len(), state));
    }

    pub(super) fn recover(&self, settings: Settings) -> Provider {
        let mut provider = Provider::new(settings).unwrap();
        let mut from = 0;
        if let Some((at, state)) = &self.snapshot {
            provider.restore(state).unwrap();
            from = *at;
        }
        for event in &self.events[from..] {
            provider.evolve(&serde_json::from_slice(&event.payload).unwrap());
        }
        provider.restore_cursor(self.cursor);
        provider
    }
}

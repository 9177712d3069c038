//! Records and payment.

use futures_util::FutureExt as _;
use virtengine_keys::{Algorithm, KeyStore, Purpose as KeyPurpose};
use virtengine_provider_core::id::Height;
use virtengine_provider_core::market::{CloseReason, MarketEvent};
use virtengine_provider_core::ports::adapter::{Counters, Phase};
use virtengine_provider_core::ports::chain::{RejectKind, TxOutcome};

use super::fixture::{at, calls, lease, lease_id, provider, txs};
use super::market::block;
use super::workloads::{deploying, id, seen};
use super::world::chain::rejection;
use crate::provider::{Decision, Effect, Fact, Provider, Purpose, Refused, Standing, Wish};

fn counted(provider: &mut Provider, second: i64) -> Decision {
    let counters = Counters {
        at: at(second),
        epoch: 1,
        cpu_milli_seconds: u64::try_from(second).unwrap() * 100,
        ..Counters::default()
    };
    let workload = id();
    provider
        .decide(Fact::Counted { workload, counters }, at(second))
        .unwrap()
}

fn signatures_wanted(decision: &Decision) -> Vec<u64> {
    let wanted = |planned: &crate::provider::Planned| match planned.effect {
        Effect::SignRecord { sequence, .. } => Some(sequence),
        _ => None,
    };
    decision.effects.iter().filter_map(wanted).collect()
}

fn sign(provider: &mut Provider, keys: &KeyStore, sequence: u64, spoil: bool, second: i64) -> Decision {
    let key = keys.signer(KeyPurpose::Identity).unwrap();
    let messages = provider.to_sign(&id(), sequence).map(|wanted| wanted.messages);
    let mut signatures: Vec<Vec<u8>> = messages
        .unwrap_or_default()
        .iter()
        .map(|message| key.sign(message).now_or_never().unwrap().unwrap())
        .collect();
    if spoil {
        signatures[0][3] ^= 1;
    }
    let fact = Fact::RecordSigned {
        effect: format!("record/{}/{sequence}", id()),
        workload: id(),
        sequence,
        key: key.public_key(),
        signatures,
    };
    provider.decide(fact, at(second)).unwrap()
}

fn running() -> (Provider, KeyStore) {
    let keys = KeyStore::memory();
    keys.generate(KeyPurpose::Identity, Algorithm::Ed25519, at(0))
        .unwrap();
    let mut provider = provider();
    deploying(&mut provider);
    seen(&mut provider, &id(), Phase::Running, 10);
    (provider, keys)
}

#[test]
fn records_are_signed_one_after_the_other_and_a_bad_signature_is_asked_for_again() {
    let (mut provider, keys) = running();
    assert_eq!(signatures_wanted(&counted(&mut provider, 125)), [1]);
    assert_eq!(
        signatures_wanted(&counted(&mut provider, 185)),
        [] as [u64; 0],
        "the first comes first"
    );
    let decision = sign(&mut provider, &keys, 1, true, 186);
    assert_eq!(signatures_wanted(&decision), [1]);
    assert!(decision.effects[0].not_before > at(186));
    let decision = sign(&mut provider, &keys, 1, false, 250);
    assert_eq!(signatures_wanted(&decision), [2]);
    sign(&mut provider, &keys, 2, false, 251);
    let booked = provider.books(&lease_id(1)).unwrap();
    assert_eq!(
        booked.entries().map(|(sequence, _)| sequence).collect::<Vec<_>>(),
        [1, 2]
    );
    // An answer that comes twice is one answer.
    assert!(sign(&mut provider, &keys, 2, false, 252).events.is_empty());
}

#[test]
fn a_held_record_waits_for_the_operator_and_is_let_go_once() {
    let (mut provider, keys) = running();
    let counters = Counters {
        at: at(125),
        epoch: 1,
        // A thousand cores and a tebibyte for two minutes: more than one sign.
        cpu_milli_seconds: 125_000_000,
        memory_byte_seconds: 125 << 40,
        ..Counters::default()
    };
    let workload = id();
    provider
        .decide(Fact::Counted { workload, counters }, at(125))
        .unwrap();
    sign(&mut provider, &keys, 1, false, 126);
    let is_held = |provider: &Provider| {
        let books = provider.books(&lease_id(1)).unwrap();
        books
            .entries()
            .any(|(sequence, entry)| sequence == 1 && entry.held.is_some())
    };
    assert!(is_held(&provider));
    let release = |provider: &mut Provider, sequence| {
        let workload = id();
        provider.decide(Fact::Operator(Wish::ReleaseUsage { workload, sequence }), at(130))
    };
    assert!(matches!(release(&mut provider, 2), Err(Refused::Usage(_))));
    assert_eq!(release(&mut provider, 1).unwrap().events.len(), 1);
    assert!(!is_held(&provider));
    assert!(matches!(release(&mut provider, 1), Err(Refused::Usage(_))));
}

#[test]
fn silence_is_noticed_once_and_keeps_nobody_busy() {
    let (mut provider, _) = running();
    let due = provider.next_deadline().unwrap();
    let decision = provider.decide(Fact::Tick, due).unwrap();
    assert_eq!(decision.events.len(), 1, "{:?}", decision.events);
    assert!(provider.next_deadline().is_none_or(|next| next > due));
    assert!(provider.decide(Fact::Tick, due).unwrap().events.is_empty());
}

#[test]
fn a_withdrawal_under_way_is_not_wanted_again_and_a_refused_one_is() {
    let (mut provider, _) = running();
    let standing = || {
        Fact::Settlement(Box::new(Standing {
            as_of: Height(100),
            lease: lease(&lease_id(1), 7),
            payment_open: true,
            escrows: Vec::new(),
            usage: Vec::new(),
        }))
    };
    let wanted = txs(&provider.decide(standing(), at(20)).unwrap());
    assert!(matches!(&wanted[..], [(_, Purpose::Withdraw { .. })]));
    assert!(txs(&provider.decide(standing(), at(21)).unwrap()).is_empty());
    let effect = wanted[0].0.clone();
    let outcome = TxOutcome::Rejected(rejection(RejectKind::NextBlock));
    provider
        .decide(Fact::TxSettled { effect, outcome }, at(22))
        .unwrap();
    assert_eq!(txs(&provider.decide(standing(), at(23)).unwrap()).len(), 1);
}

#[test]
fn nothing_is_removed_before_its_last_record_is_signed() {
    let mut provider = provider();
    deploying(&mut provider);
    seen(&mut provider, &id(), Phase::Running, 10);
    let reason = CloseReason::Owner;
    let closed = block(
        9,
        vec![MarketEvent::LeaseClosed {
            id: lease_id(1),
            reason,
        }],
    );
    let decision = provider.decide(closed, at(40)).unwrap();
    assert_eq!(
        calls(&decision).iter().map(|call| call.1).collect::<Vec<_>>(),
        ["stop"]
    );
    let decision = seen(&mut provider, &id(), Phase::Stopped, 50);
    assert!(calls(&decision).is_empty());
    let [counting] = &decision.effects[..] else {
        panic!("{decision:?}")
    };
    assert!(matches!(counting.effect, Effect::ReadFinalCounters { .. }));
    let (effect, workload) = (counting.id.clone(), id());
    let counters = None;
    let decision = provider
        .decide(
            Fact::FinallyCounted {
                effect,
                workload,
                counters,
            },
            at(51),
        )
        .unwrap();
    assert!(calls(&decision).is_empty(), "the record waits for its signature");
    assert!(matches!(
        decision.effects[0].effect,
        Effect::SignRecord { sequence: 1, .. }
    ));
    let later = at(10_000);
    assert!(calls(&provider.decide(Fact::Tick, later).unwrap()).is_empty());
}

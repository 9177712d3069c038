//! A tenant has the records and the public key, and nothing else.

use virtengine_metering::charge::charges;
use virtengine_metering::meter::Recorded;
use virtengine_metering::record::RecordKind;
use virtengine_metering::signed::{SignedCharge, SignedRecord};
use virtengine_metering::verify::{Problem, verify_chain, verify_chain_of_keys};
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};
use virtengine_provider_core::time::Timestamp;

use crate::support::{NOON, Run, key, policy, public, records, s, signed_hours, start, steady};

fn chain() -> Vec<SignedRecord> {
    records(&signed_hours(5))
}

/// Signs a changed record again: what a provider that cheats would do.
fn resign(signed: &mut SignedRecord) {
    use ed25519_dalek::Signer;
    signed.record.id = signed.record.expected_id();
    signed.signature = key(7).sign(&signed.record.signing_bytes()).to_bytes().to_vec();
    signed.charges.clear();
}

#[test]
fn a_sound_chain_is_summed_up() {
    let chain = chain();
    let text = serde_json::to_string(&chain).unwrap();
    let read: Vec<SignedRecord> = serde_json::from_str(&text).unwrap();
    assert_eq!(read, chain);
    let verified = verify_chain(&read, &public(&key(7))).unwrap();
    assert_eq!(
        (verified.records, verified.from_the_start, verified.to_the_end),
        (6, true, true)
    );
    assert_eq!(verified.total.cpu_milli_seconds, (5 * 3600 + 900 - 600) * 1000);
    assert_eq!(
        (verified.start, verified.end),
        (s(NOON + 600), s(NOON + 5 * 3600 + 900))
    );
    let charges = chain.iter().flat_map(|one| &one.charges);
    let cost: u128 = charges.map(|one| one.charge.cost).sum();
    assert_eq!(verified.charged.values().sum::<u128>(), cost);
    assert!(verified.flagged.is_empty() && verified.not_fully_measured.is_empty());
    assert!(verify_chain(&chain[2..4], &public(&key(7))).is_ok_and(|v| !v.from_the_start && !v.to_the_end));
    assert!(verify_chain(&[], &public(&key(7))).is_ok());
}

/// Changes one record without being able to sign.
#[test]
fn fake_signature_check() {
    type Change = fn(&mut SignedRecord);
    let changes: [(&str, Change); 22] = [
        ("chain", |r| r.record.subject.chain_id.push('x')),
        ("workload", |r| {
            r.record.subject.workload = "w-other".parse().unwrap();
        }),
        ("lease", |r| r.record.subject.lease = None),
        ("label", |r| r.record.subject.provider_label.push('x')),
        ("deployment", |r| r.record.deployment = None),
        ("sequence", |r| r.record.sequence += 1),
        ("previous", |r| r.record.previous.0[31] ^= 1),
        ("kind", |r| r.record.kind = RecordKind::Final),
        ("start", |r| {
            r.record.start = Timestamp::from_millis(r.record.start.as_millis() + 1);
        }),
        ("end", |r| {
            r.record.end = Timestamp::from_millis(r.record.end.as_millis() - 1);
        }),
        ("cpu", |r| r.record.metrics.cpu_milli_seconds += 1),
        ("memory", |r| r.record.metrics.memory_byte_seconds += 1),
        ("storage", |r| r.record.metrics.storage_byte_seconds += 1),
        ("in and out", |r| {
            r.record.metrics.network_bytes_in += 1;
            r.record.metrics.network_bytes_out -= 1;
        }),
        ("gpu", |r| r.record.metrics.gpu_seconds += 1),
        ("allocated", |r| r.record.allocated.gpus += 1),
        ("rate", |r| {
            r.record.pricing.agreed_network_rate = "70.000000000000000001".parse().unwrap();
        }),
        ("denom", |r| r.record.pricing.denom = "uakt".parse().unwrap()),
        ("coverage", |r| r.record.coverage.samples += 1),
        ("created", |r| r.record.created_at = Timestamp::EPOCH),
        ("signature", |r| r.signature[10] ^= 1),
        ("charge", |r| r.charges[0].charge.units += 1),
    ];
    for (what, change) in changes {
        let mut chain = chain();
        change(&mut chain[2]);
        let broken = verify_chain(&chain, &public(&key(7))).unwrap_err();
        assert_eq!(broken.index, 2, "{what}");
        assert!(
            matches!(broken.problem, Problem::Signature(_)),
            "{what}: {broken}"
        );
    }
}

#[test]
fn a_wrong_id_and_a_wrong_key_are_named() {
    let mut bad_id = chain();
    bad_id[1].record.id = "00".repeat(16);
    assert_eq!(
        verify_chain(&bad_id, &public(&key(7))).unwrap_err().problem,
        Problem::Id
    );
    let other = verify_chain(&chain(), &public(&key(8))).unwrap_err();
    assert_eq!((other.index, other.problem), (0, Problem::Key(public(&key(7)))));
    let wrong_kind = PublicKey {
        algorithm: Algorithm::P256,
        ..public(&key(7))
    };
    let mut chain = chain();
    chain[0].key = wrong_kind.clone();
    assert!(matches!(
        verify_chain(&chain, &wrong_kind).unwrap_err().problem,
        Problem::Signature(_)
    ));
}

/// A provider that holds the key still cannot hide a change of history.
#[test]
fn a_cheating_provider_is_caught_by_the_links() {
    let problem = |change: fn(&mut Vec<SignedRecord>)| {
        let mut chain = chain();
        change(&mut chain);
        let broken = verify_chain(&chain, &public(&key(7))).unwrap_err();
        (broken.index, broken.problem)
    };
    let missing = problem(|chain| drop(chain.remove(2)));
    assert_eq!(
        missing,
        (
            2,
            Problem::Sequence {
                expected: 3,
                found: 4
            }
        )
    );
    let twice = problem(|chain| chain.insert(2, chain[1].clone()));
    assert_eq!(
        twice,
        (
            2,
            Problem::Sequence {
                expected: 3,
                found: 2
            }
        )
    );
    let changed = problem(|chain| {
        chain[2].record.metrics.cpu_milli_seconds += 1;
        resign(&mut chain[2]);
    });
    assert_eq!(changed, (3, Problem::Link));
    let gap = problem(|chain| {
        chain[3].record.start = Timestamp::from_millis(chain[3].record.start.as_millis() + 1);
        resign(&mut chain[3]);
    });
    assert!(matches!(gap, (3, Problem::Gap { .. })));
    let overlap = problem(|chain| {
        chain[3].record.start = Timestamp::from_millis(chain[3].record.start.as_millis() - 1);
        resign(&mut chain[3]);
    });
    assert!(matches!(overlap, (3, Problem::Overlap { .. })));
    let after_final = problem(|chain| {
        chain[1].record.kind = RecordKind::Final;
        resign(&mut chain[1]);
    });
    assert_eq!(after_final, (2, Problem::AfterFinal));
    let other_subject = problem(|chain| {
        chain[4].record.subject.provider_label = "other".to_owned();
        resign(&mut chain[4]);
    });
    assert_eq!(other_subject, (4, Problem::Subject));
    let overcharged = problem(|chain| {
        let charge = chain[2].charges.remove(0);
        chain[2].charges.push(charge);
    });
    assert_eq!(overcharged, (2, Problem::Charges));
    let backwards = problem(|chain| {
        chain[0].record.end = Timestamp::EPOCH;
        resign(&mut chain[0]);
    });
    assert_eq!(backwards, (0, Problem::Backwards));
}

/// Signs `chain` again from `first` on, every record linked to the one before, with the charges that follow from it.
fn relink(chain: &mut [SignedRecord], first: usize) {
    use ed25519_dalek::Signer;
    for index in first..chain.len() {
        chain[index].record.previous = chain[index - 1].record.digest();
        let signed = &mut chain[index];
        resign(signed);
        let subject = signed.record.subject.clone();
        for charge in charges(&signed.record).unwrap() {
            let message = charge.signing_bytes(&subject.chain_id, &subject.provider);
            let signature = key(7).sign(&message).to_bytes().to_vec();
            signed.charges.push(SignedCharge { charge, signature });
        }
    }
}

#[test]
fn rates_and_allocation_stay_those_of_the_first_record() {
    type Change = fn(&mut SignedRecord);
    let changes: [(&str, Change); 3] = [
        ("rate", |r| {
            r.record.pricing.agreed_cpu_rate = "2000".parse().unwrap();
        }),
        ("money", |r| r.record.pricing.denom = "uakt".parse().unwrap()),
        ("allocation", |r| r.record.allocated.cpu_millis += 1),
    ];
    for (what, change) in changes {
        let mut chain = chain();
        chain[3..].iter_mut().for_each(change);
        relink(&mut chain, 3);
        assert!(verify_chain(&chain[3..], &public(&key(7))).is_ok(), "{what}");
        let broken = verify_chain(&chain, &public(&key(7))).unwrap_err();
        assert_eq!((broken.index, broken.problem), (3, Problem::Terms), "{what}");
    }
    let mut same = chain();
    relink(&mut same, 3);
    assert!(verify_chain(&same, &public(&key(7))).is_ok());
}

#[test]
fn records_from_before_a_key_rotation_stay_valid() {
    let mut run = Run::new(policy(3600));
    run.tell(&start(NOON), NOON).unwrap();
    let mut recorded: Vec<Recorded> = Vec::new();
    for (hour, seed) in [(1, 7), (2, 7), (3, 8)] {
        run.sample(steady(NOON, NOON + hour * 3600)).unwrap();
        recorded.extend(run.sign_all(&key(seed)));
    }
    let chain = records(&recorded);
    assert_eq!(verify_chain(&chain, &public(&key(7))).unwrap_err().index, 2);
    assert!(verify_chain_of_keys(&chain, &[public(&key(7)), public(&key(8))]).is_ok());
}

#[test]
fn bytes_to_sign_are_fixed_for_ever() {
    // The digests were computed by another program, in another language, from the description of the format. A change of them
    // is a change of the format: give it another domain.
    let signed: SignedRecord = serde_json::from_str(include_str!("vectors/record-v1.json")).unwrap();
    assert_eq!(hex::encode(signed.record.digest().0), RECORD_DIGEST);
    let subject = &signed.record.subject;
    let bytes = signed.charges[0]
        .charge
        .signing_bytes(&subject.chain_id, &subject.provider);
    let (domain, digest) = bytes.split_at(bytes.len() - 32);
    assert_eq!(domain, b"virtengine.provider.usage.v1\0");
    assert_eq!(hex::encode(digest), CHARGE_DIGEST);
    verify_chain(std::slice::from_ref(&signed), &public(&key(7))).unwrap();
}

const RECORD_DIGEST: &str = "f5d6ab83998591a41d4ac4ad8bbcd94ffabce2976560591474c8edb24875a76c";
const CHARGE_DIGEST: &str = "b43e35b4e7cedcc4a22d25e7ada0682d04e560fe2a976786cbd3d7a6cee0e1c7";

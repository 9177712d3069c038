//! Meters a workload for three hours, signs the records, checks them as a tenant would, and plans the settlement. No runtime.

use std::error::Error;
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use virtengine_metering::meter::{Command, Event, Meter, Policy, Recorded, Start};
use virtengine_metering::pricing::PricingInputs;
use virtengine_metering::record::Subject;
use virtengine_metering::settlement::{self, Books, BooksCommand, Facts, SettlementMode};
use virtengine_metering::signed::{Draft, SignedRecord};
use virtengine_metering::verify::verify_chain;
use virtengine_metering::window::Windows;
use virtengine_provider_core::id::{Height, LeaseId, WorkloadId};
use virtengine_provider_core::market::{Lease, LeaseState, SettlementEscrow};
use virtengine_provider_core::money::{Coin, Decimal, Price};
use virtengine_provider_core::ports::adapter::Counters;
use virtengine_provider_core::ports::signer::{Algorithm, PublicKey};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{GIB, Resources};

const LEASE: &str =
    "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f/1000/1/1/ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";
const DEPLOYED: i64 = 1_700_006_700;

fn main() -> Result<(), Box<dyn Error>> {
    let lease: LeaseId = LEASE.parse()?;
    let recorded = meter(&lease)?;

    let records: Vec<SignedRecord> = recorded.iter().map(|one| one.signed.clone()).collect();
    let verified = verify_chain(&records, &public(&key()))?;
    println!(
        "the tenant agrees: {} records, {} core-ms",
        verified.records, verified.total.cpu_milli_seconds
    );

    let mut forged = records.clone();
    forged[1].record.metrics.cpu_milli_seconds += 1;
    let Err(broken) = verify_chain(&forged, &public(&key())) else {
        return Err("a forgery went unseen".into());
    };
    println!("a forgery is seen: {broken}");

    settle(&lease, &recorded)
}

/// The events of a meter; a shell journals them before it goes on.
fn tell(
    meter: &mut Meter,
    policy: &Policy,
    command: &Command,
    at: i64,
) -> Result<Vec<Event>, Box<dyn Error>> {
    let events = meter.decide(policy, command, Timestamp::from_seconds(at))?;
    events.iter().for_each(|event| meter.evolve(event));
    Ok(events)
}

fn meter(lease: &LeaseId) -> Result<Vec<Recorded>, Box<dyn Error>> {
    let policy = Policy::new(Windows::new(Duration::from_secs(3600))?);
    let mut meter = Meter::new();
    tell(
        &mut meter,
        &policy,
        &Command::Start(Box::new(start(lease)?)),
        DEPLOYED,
    )?;
    // Readings every ten minutes, with one outage of an hour.
    for minutes in (10..=190)
        .step_by(10)
        .filter(|minutes| !(60..120).contains(minutes))
    {
        let at = DEPLOYED + minutes * 60;
        tell(&mut meter, &policy, &Command::Sample(counters(at)?), at)?;
    }
    let end = Timestamp::from_seconds(DEPLOYED + 11_400);
    tell(
        &mut meter,
        &policy,
        &Command::Close { at: end },
        DEPLOYED + 11_400,
    )?;

    let drafts: Vec<Draft> = meter.unsigned().cloned().collect();
    let mut recorded = Vec::new();
    for draft in drafts {
        let record = &draft.record;
        println!(
            "{} to {}: {} core-ms, {} readings",
            record.start, record.end, record.metrics.cpu_milli_seconds, record.coverage.samples
        );
        for event in tell(&mut meter, &policy, &sign(&draft), DEPLOYED + 11_400)? {
            if let Event::RecordSigned(one) = event {
                recorded.push(*one);
            }
        }
    }
    Ok(recorded)
}

fn settle(lease: &LeaseId, recorded: &[Recorded]) -> Result<(), Box<dyn Error>> {
    let mut books = Books::new(lease.clone());
    for one in recorded {
        for event in books.decide(&BooksCommand::Book {
            signed: &one.signed,
            verdict: &one.verdict,
        })? {
            books.evolve(&event);
        }
    }
    let on_chain = Lease {
        id: lease.clone(),
        state: LeaseState::Active,
        price: Price::new("uve".parse()?, Decimal::from_integer(100)?),
        created_at: Height(1),
        closed_on: Height(0),
    };
    let escrow = SettlementEscrow {
        id: "escrow-1".to_owned(),
        order_id: lease.order.to_string(),
        lease_id: lease.to_string(),
        recipient: Some(lease.provider.clone()),
        state: "active".to_owned(),
        balance: vec![Coin::new("uve".parse()?, 1_000_000)],
        expires_at: DEPLOYED + 86_400,
    };
    let facts = Facts {
        now: Timestamp::from_seconds(DEPLOYED + 11_400),
        head: Height(2000),
        as_of: Height(2000),
        lease: &on_chain,
        payment_open: true,
        account_touched: None,
        escrows: &[escrow],
        usage: &[],
        in_flight: &[],
    };
    let policy = settlement::Policy::new(SettlementMode::Both, lease.provider.clone());
    for action in settlement::plan(&books, &policy, &facts).actions {
        println!("{}: {} messages", action.id(), action.messages().len());
    }
    println!("unpaid: {}uve", books.unpaid());
    Ok(())
}

fn start(lease: &LeaseId) -> Result<Start, Box<dyn Error>> {
    Ok(Start {
        subject: Subject {
            chain_id: "virtengine-1".to_owned(),
            workload: WorkloadId::of_lease(lease),
            lease: Some(lease.clone()),
            provider: lease.provider.clone(),
            provider_label: String::new(),
        },
        allocated: Resources {
            cpu_millis: 2000,
            memory_bytes: 4 * GIB,
            storage_bytes: 10 * GIB,
            gpus: 0,
        },
        pricing: PricingInputs {
            agreed_cpu_rate: "1000".parse()?,
            agreed_memory_rate: "500".parse()?,
            agreed_storage_rate: "100".parse()?,
            ..PricingInputs::free("uve".parse()?)
        },
        at: Timestamp::from_seconds(DEPLOYED),
        baseline: None,
    })
}

/// One core, two GiB of memory and one of storage, ever since it was deployed.
fn counters(at: i64) -> Result<Counters, Box<dyn Error>> {
    let seconds = u64::try_from(at - DEPLOYED)?;
    Ok(Counters {
        at: Timestamp::from_seconds(at),
        epoch: 1,
        cpu_milli_seconds: seconds * 1000,
        memory_byte_seconds: u128::from(2 * GIB * seconds),
        storage_byte_seconds: u128::from(GIB * seconds),
        ..Counters::default()
    })
}

/// A key of an example; a provider's is in its key store.
fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn public(key: &SigningKey) -> PublicKey {
    PublicKey {
        algorithm: Algorithm::Ed25519,
        bytes: key.verifying_key().to_bytes().to_vec(),
    }
}

fn sign(draft: &Draft) -> Command {
    let signatures = draft.signing_messages();
    let signatures = signatures
        .iter()
        .map(|message| key().sign(message).to_bytes().to_vec())
        .collect();
    Command::Sign {
        sequence: draft.record.sequence,
        key: public(&key()),
        signatures,
    }
}

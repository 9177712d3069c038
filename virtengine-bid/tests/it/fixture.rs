//! A provider and its market, small.

use std::time::Duration;

use virtengine_bid::book::Stage;
use virtengine_bid::strategy::{CostPlus, Strategy};
use virtengine_bid::{Bidder, Book, Command, Event, Policy, Rejected};
use virtengine_provider_core::capacity::Ledger;
use virtengine_provider_core::id::{Address, BidId, Height, LeaseId, OrderId};
use virtengine_provider_core::market::{
    Attribute, GroupSpec, Order, OrderState, ResourceUnit, StorageVolume,
};
use virtengine_provider_core::money::{Decimal, Denom, Price};
use virtengine_provider_core::ports::chain::{RejectKind, Rejection};
use virtengine_provider_core::pricing::{BlockTime, Denomination, Period, PriceTable};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{GIB, Resources};

pub(crate) const ALICE: &str = "ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f";
pub(crate) const BOB: &str = "ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq";

pub(crate) fn alice() -> Address {
    ALICE.parse().unwrap()
}

pub(crate) fn bob() -> Address {
    BOB.parse().unwrap()
}

pub(crate) fn uve() -> Denom {
    "uve".parse().unwrap()
}

pub(crate) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn price(text: &str) -> Price {
    Price::new(uve(), decimal(text))
}

pub(crate) fn attribute(key: &str, value: &str) -> Attribute {
    Attribute {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

pub(crate) fn order_id(dseq: u64) -> OrderId {
    OrderId::new(alice(), dseq, 1, 1)
}

/// One core and one GiB, for at most 10 uve per block: our price is 2.75 uve.
pub(crate) fn order(dseq: u64) -> Order {
    Order {
        id: order_id(dseq),
        state: OrderState::Open,
        spec: GroupSpec {
            name: "default".to_owned(),
            attributes: Vec::new(),
            signed_by_all_of: Vec::new(),
            signed_by_any_of: Vec::new(),
            resources: vec![unit()],
        },
        created_at: Height(10),
    }
}

pub(crate) fn unit() -> ResourceUnit {
    ResourceUnit {
        id: 1,
        count: 1,
        cpu_millis: 1000,
        memory_bytes: GIB,
        storage: vec![StorageVolume {
            name: "default".to_owned(),
            bytes: 0,
            attributes: Vec::new(),
        }],
        gpus: 0,
        gpu_attributes: Vec::new(),
        cpu_attributes: Vec::new(),
        memory_attributes: Vec::new(),
        endpoints: Vec::new(),
        price: price("10"),
    }
}

/// The prices of the training document.
pub(crate) fn prices() -> PriceTable {
    PriceTable {
        cpu_price_per_core: decimal("0.001"),
        memory_price_per_gb: decimal("0.0005"),
        storage_price_per_gb: decimal("0.0001"),
        gpu_price_per_hour: decimal("0.05"),
        network_price_per_gb: Decimal::ZERO,
        min_bid_price: decimal("0.0001"),
        bid_markup_percent: decimal("10.0"),
        currency: "VIRT".to_owned(),
        per: Period::Hour,
    }
}

pub(crate) fn policy() -> Policy {
    let denomination = Denomination {
        denom: uve(),
        display: "VIRT".to_owned(),
        exponent: 6,
    };
    Policy::new(
        bob(),
        prices(),
        denomination,
        BlockTime::from_millis(6000).unwrap(),
        "500000uve".parse().unwrap(),
    )
}

pub(crate) fn cores(cores: u64) -> Resources {
    Resources {
        cpu_millis: cores * 1000,
        memory_bytes: cores * GIB,
        storage_bytes: 1000 * GIB,
        gpus: 0,
    }
}

pub(crate) fn rejection(kind: RejectKind) -> Rejection {
    Rejection {
        kind,
        codespace: "test".to_owned(),
        code: 1,
        log: "no".to_owned(),
    }
}

/// A bidder with its state, under a clock that the test turns.
pub(crate) struct Desk {
    pub(crate) bidder: Bidder,
    pub(crate) book: Book,
    pub(crate) ledger: Ledger,
    pub(crate) now: Timestamp,
    pub(crate) journal: Vec<Event>,
    pub(crate) start: Ledger,
}

impl Desk {
    pub(crate) fn new(policy: Policy, room: Resources) -> Self {
        Self::with(policy, room, Box::new(CostPlus::default()))
    }

    pub(crate) fn with(policy: Policy, room: Resources, strategy: Box<dyn Strategy>) -> Self {
        let ledger = Ledger::new(room, Resources::ZERO);
        Self {
            bidder: Bidder::new(policy, strategy).unwrap(),
            book: Book::new(),
            start: ledger.clone(),
            ledger,
            now: Timestamp::from_seconds(1_000_000),
            journal: Vec::new(),
        }
    }

    pub(crate) fn roomy() -> Self {
        Self::new(policy(), cores(1000))
    }

    pub(crate) fn tell(&mut self, command: Command) -> Result<Vec<Event>, Rejected> {
        let events = self.bidder.decide(&self.book, &self.ledger, command, self.now)?;
        for event in &events {
            virtengine_bid::evolve(&mut self.book, &mut self.ledger, event);
        }
        self.journal.extend(events.iter().cloned());
        Ok(events)
    }

    pub(crate) fn ok(&mut self, command: Command) -> Vec<Event> {
        self.tell(command).unwrap()
    }

    pub(crate) fn see(&mut self, order: Order) -> Vec<Event> {
        self.ok(Command::OrderSeen {
            order: Box::new(order),
            bids: 0,
        })
    }

    pub(crate) fn settle(&mut self) -> Vec<Event> {
        let events = self
            .bidder
            .settle(&mut self.book, &mut self.ledger, self.now, 100_000);
        self.journal.extend(events.iter().cloned());
        events
    }

    pub(crate) fn wait(&mut self, seconds: u64) -> &mut Self {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self
    }

    pub(crate) fn land(&mut self, dseq: u64) -> Vec<Event> {
        let id = self.id(dseq);
        self.ok(Command::BidLanded {
            id,
            height: Height(20),
        })
    }

    pub(crate) fn reject(&mut self, dseq: u64, kind: RejectKind) -> Vec<Event> {
        let (id, sending) = (self.id(dseq), self.sending(dseq));
        self.ok(Command::BidRejected {
            id,
            sending,
            rejection: rejection(kind),
        })
    }

    /// Which sending flies; the last one, when none does.
    pub(crate) fn sending(&self, dseq: u64) -> u32 {
        match self.book.entry(&order_id(dseq)).map(|entry| &entry.stage) {
            Some(Stage::InFlight { request, .. } | Stage::Retrying { request, .. }) => request.sendings,
            _ => 1,
        }
    }

    pub(crate) fn id(&self, dseq: u64) -> BidId {
        LeaseId::new(order_id(dseq), bob())
    }

    /// Sees one order and bids on it.
    pub(crate) fn bid(dseq: u64) -> Self {
        let mut desk = Self::roomy();
        desk.see(order(dseq));
        let events = desk.settle();
        assert!(kinds(&events).contains(&"bid_decided"), "{events:?}");
        desk
    }

    pub(crate) fn stage(&self, dseq: u64) -> &'static str {
        let id = order_id(dseq);
        match (self.book.entry(&id), self.book.record(&id)) {
            (Some(entry), None) => entry.stage.as_str(),
            (None, Some(record)) => record.outcome.as_str(),
            (None, None) => "unknown",
            (Some(_), Some(_)) => panic!("both open and over"),
        }
    }
}

pub(crate) fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::kind).collect()
}

//! A provider with leases, and a market with open orders.

use std::time::Duration;

use virtengine_bid::book::{ORDERS_WAITING_MAX, Stage, Tally};
use virtengine_bid::reason::GoneReason;
use virtengine_bid::strategy::CostPlus;
use virtengine_bid::{Bidder, Book, Command, Event, Policy, evolve};
use virtengine_provider_core::capacity::Ledger;
use virtengine_provider_core::id::{Address, Height, LeaseId, OrderId};
use virtengine_provider_core::market::{
    Attribute, Endpoint, EndpointKind, GroupSpec, Lease, LeaseState, Order, OrderState, ResourceUnit,
    StorageVolume,
};
use virtengine_provider_core::money::{Decimal, Denom, Price};
use virtengine_provider_core::ports::chain::{RejectKind, Rejection};
use virtengine_provider_core::pricing::{BlockTime, Denomination, Period, PriceTable, Rate};
use virtengine_provider_core::time::Timestamp;
use virtengine_provider_core::units::{GIB, Resources};

/// When everything happens.
pub const NOW: Timestamp = Timestamp::from_seconds(1_764_000_000);

/// Our address.
#[must_use]
pub fn provider() -> Address {
    parsed("ve16ns2f3vrquy0vpyvkg92dxhymmran5f7cp7mdq")
}

/// The owner of all orders.
#[must_use]
pub fn tenant() -> Address {
    parsed("ve1avgyh77ycn997ja45q5q8ss8y9mr424ju8e86f")
}

/// The money of the chain.
#[must_use]
pub fn uve() -> Denom {
    parsed("uve")
}

/// The prices of the training document as an operator writes them, per hour.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "named as in the configuration")]
pub struct Texts {
    pub cpu_price_per_core: &'static str,
    pub memory_price_per_gb: &'static str,
    pub storage_price_per_gb: &'static str,
    pub gpu_price_per_hour: &'static str,
    pub min_bid_price: &'static str,
    pub bid_markup_percent: &'static str,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            cpu_price_per_core: "0.001",
            memory_price_per_gb: "0.0005",
            storage_price_per_gb: "0.0001",
            gpu_price_per_hour: "0.05",
            min_bid_price: "0.0001",
            bid_markup_percent: "10",
        }
    }
}

impl Texts {
    /// Reads all of them.
    #[must_use]
    pub fn parse(&self) -> PriceTable {
        PriceTable {
            cpu_price_per_core: parsed(self.cpu_price_per_core),
            memory_price_per_gb: parsed(self.memory_price_per_gb),
            storage_price_per_gb: parsed(self.storage_price_per_gb),
            gpu_price_per_hour: parsed(self.gpu_price_per_hour),
            network_price_per_gb: Decimal::ZERO,
            min_bid_price: parsed(self.min_bid_price),
            bid_markup_percent: parsed(self.bid_markup_percent),
            currency: "VIRT".to_owned(),
            per: Period::Hour,
        }
    }
}

fn denomination() -> Denomination {
    Denomination {
        denom: uve(),
        display: "VIRT".to_owned(),
        exponent: 6,
    }
}

fn block_time(time: Duration) -> BlockTime {
    time.try_into().expect("at most a day")
}

/// Time between two blocks of the chain.
const BLOCK_TIME: Duration = Duration::from_secs(6);

/// These prices at blocks of 6 s.
#[must_use]
pub fn rate() -> Rate {
    rate_at(Texts::default().parse(), BLOCK_TIME)
}

/// `prices` for a chain with so much time between two blocks.
#[must_use]
pub fn rate_at(prices: PriceTable, time: Duration) -> Rate {
    prices
        .compile(&denomination(), block_time(time))
        .expect("the prices can be computed")
}

/// The order of `peers/legacydec`: 4 cores, 8 GiB of memory, 100 GiB of storage, one GPU.
pub const REFERENCE: Resources = Resources {
    cpu_millis: 4_000,
    memory_bytes: 8 * GIB,
    storage_bytes: 100 * GIB,
    gpus: 1,
};

/// One core, half a GiB of memory, one GiB of storage.
pub const SMALL: Resources = Resources {
    cpu_millis: 1_000,
    memory_bytes: GIB / 2,
    storage_bytes: GIB,
    gpus: 0,
};

/// The largest unit that an order may ask for.
pub const LARGE: Resources = Resources {
    cpu_millis: 384_000,
    memory_bytes: 2_048 * GIB,
    storage_bytes: 32_768 * GIB,
    gpus: 24,
};

/// A provider with its state.
#[derive(Debug)]
pub struct Market {
    /// The decider.
    pub bidder: Bidder,
    /// What it knows.
    pub book: Book,
    /// What is reserved.
    pub ledger: Ledger,
}

impl Market {
    /// A provider with `leases` leases who has seen `orders` open orders and considered none of them.
    #[must_use]
    pub fn new(leases: u64, orders: u64) -> Self {
        let everything = Resources {
            cpu_millis: 1_000_000_000,
            memory_bytes: 1_000_000 * GIB,
            storage_bytes: 10_000_000 * GIB,
            gpus: 1_000,
        };
        let mut market = Self {
            bidder: Bidder::new(policy(), Box::new(CostPlus::default())).expect("the policy is sound"),
            book: Book::new(),
            ledger: Ledger::new(everything, Resources::ZERO),
        };
        for number in 0..leases {
            market.tell(lease(number));
        }
        for number in 0..orders {
            market.tell(seen(order(leases + number)));
        }
        let Tally { leased, fresh, .. } = *market.book.tally();
        assert_eq!((leased as u64, fresh as u64), (leases, orders));
        assert!(orders < ORDERS_WAITING_MAX as u64);
        market
    }

    /// Decides and applies.
    pub fn tell(&mut self, command: Command) {
        let events = self
            .bidder
            .decide(&self.book, &self.ledger, command, NOW)
            .expect("the command is carried out");
        for event in &events {
            evolve(&mut self.book, &mut self.ledger, event);
        }
    }

    /// Decides the next order, and changes nothing.
    #[must_use]
    pub fn decide(&self) -> Vec<Event> {
        self.bidder
            .decide(&self.book, &self.ledger, Command::Consider, NOW)
            .expect("to consider is never refused")
    }

    /// Ends the bids of `decided` as if their orders had gone away, and sees the same orders anew.
    ///
    /// # Panics
    /// When an event of `decided` is no bid or reservation, or its bid was not in flight.
    pub fn take_back(&mut self, decided: &[Event]) {
        let before = *self.book.tally();
        let mut bids = 0_usize;
        for event in decided {
            let (id, sending) = match event {
                Event::BidDecided { order, sending, .. } => (self.bidder.id(order), *sending),
                Event::Capacity { .. } => continue,
                other => panic!("not a bid: {other:?}"),
            };
            bids += 1;
            let order = id.order.clone();
            let again = match self.book.entry(&order).map(|entry| &entry.stage) {
                Some(Stage::InFlight { request, .. }) => request.order.clone(),
                other => panic!("not in flight: {other:?}"),
            };
            self.tell(Command::OrderGone {
                order,
                why: GoneReason::Closed,
            });
            self.tell(Command::BidRejected {
                id,
                sending,
                rejection: Rejection {
                    kind: RejectKind::StateChanged,
                    codespace: String::new(),
                    code: 1,
                    log: String::new(),
                },
            });
            self.tell(Command::Reconsider {
                order: Box::new(again),
                bids: 0,
            });
        }
        let after = *self.book.tally();
        assert_eq!(
            (after.fresh, after.in_flight),
            (before.fresh + bids, before.in_flight - bids)
        );
    }
}

fn policy() -> Policy {
    let deposit = parsed("500000uve");
    let prices = Texts::default().parse();
    let mut policy = Policy::new(
        provider(),
        prices,
        denomination(),
        block_time(BLOCK_TIME),
        deposit,
    );
    policy.profile.attributes = vec![
        attribute("region", "us-east"),
        attribute("tier", "community"),
        attribute("capabilities/storage/1/class", "beta2"),
    ];
    policy.profile.regions = vec!["us-east".to_owned()];
    // So that a bid follows each order.
    policy.limits.max_bids_per_minute = u32::MAX;
    policy.limits.max_bids_per_hour = u32::MAX;
    policy.limits.max_concurrent_bids = u32::MAX;
    policy.order_time_to_live = Duration::from_secs(3600);
    policy
}

/// Three replicas of a web server with a public address, in a region.
#[must_use]
pub fn order(number: u64) -> Order {
    let web = ResourceUnit {
        id: 1,
        count: 3,
        cpu_millis: SMALL.cpu_millis,
        memory_bytes: SMALL.memory_bytes,
        storage: vec![StorageVolume {
            name: "default".to_owned(),
            bytes: SMALL.storage_bytes,
            attributes: Vec::new(),
        }],
        gpus: 0,
        gpu_attributes: Vec::new(),
        cpu_attributes: vec![attribute("arch", "amd64")],
        memory_attributes: Vec::new(),
        endpoints: vec![Endpoint {
            kind: EndpointKind::SharedHttp,
            sequence_number: 0,
        }],
        price: Price::new(uve(), parsed("1000")),
    };
    Order {
        id: order_id(number),
        state: OrderState::Open,
        spec: GroupSpec {
            name: "default".to_owned(),
            attributes: vec![attribute("region", "us-east")],
            signed_by_all_of: Vec::new(),
            signed_by_any_of: Vec::new(),
            resources: vec![web],
        },
        created_at: Height(7),
    }
}

/// The order came to our ears.
#[must_use]
pub fn seen(order: Order) -> Command {
    Command::OrderSeen {
        order: Box::new(order),
        bids: 0,
    }
}

fn lease(number: u64) -> Command {
    Command::AdoptLease {
        lease: Lease {
            id: LeaseId::new(order_id(number), provider()),
            state: LeaseState::Active,
            price: Price::new(uve(), parsed("3")),
            created_at: Height(5),
            closed_on: Height::default(),
        },
        resources: SMALL,
    }
}

fn order_id(number: u64) -> OrderId {
    OrderId::new(tenant(), 1_000_000 + number, 1, 1)
}

fn attribute(key: &str, value: &str) -> Attribute {
    Attribute {
        key: key.to_owned(),
        value: value.to_owned(),
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a constant of the benches")
}

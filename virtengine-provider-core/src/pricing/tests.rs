use alloc::string::ToString;

use proptest::prelude::*;

use super::*;
use crate::money::Decimal;
use crate::units::{GIB, Resources};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// The example of the training document.
fn table() -> PriceTable {
    PriceTable {
        cpu_price_per_core: decimal("0.001"),
        memory_price_per_gb: decimal("0.0005"),
        storage_price_per_gb: decimal("0.0001"),
        gpu_price_per_hour: decimal("0.05"),
        network_price_per_gb: Decimal::ZERO,
        min_bid_price: decimal("0.0001"),
        bid_markup_percent: decimal("10.0"),
        currency: "VIRT".into(),
        per: Period::Hour,
    }
}

fn virt() -> Denomination {
    Denomination {
        denom: "uve".parse().unwrap(),
        display: "VIRT".into(),
        exponent: 6,
    }
}

fn rate(table: &PriceTable, block_millis: u64) -> Rate {
    table
        .compile(&virt(), BlockTime::from_millis(block_millis).unwrap())
        .unwrap()
}

fn resources(cpu_millis: u64, memory_bytes: u64, storage_bytes: u64, gpus: u64) -> Resources {
    Resources {
        cpu_millis,
        memory_bytes,
        storage_bytes,
        gpus,
    }
}

#[test]
fn a_core_costs_its_hourly_price_by_the_block() {
    let mut plain = table();
    plain.bid_markup_percent = Decimal::ZERO;
    plain.min_bid_price = Decimal::ZERO;
    let rate = rate(&plain, 6000);
    // 1000 uve per hour over 600 blocks is 1.666… uve, rounded up in the 18th digit.
    assert_eq!(
        rate.price(&resources(1000, 0, 0, 0)).unwrap(),
        decimal("1.666666666666666667")
    );
    assert_eq!(rate.price(&resources(3000, 0, 0, 0)).unwrap(), decimal("5"));
    assert_eq!(rate.price(&resources(0, 6 * GIB, 0, 0)).unwrap(), decimal("5"));
    assert_eq!(rate.price(&resources(0, 0, 30 * GIB, 0)).unwrap(), decimal("5"));
    assert_eq!(rate.price(&resources(0, 0, 0, 6)).unwrap(), decimal("500"));
    assert_eq!(rate.price(&Resources::ZERO).unwrap(), Decimal::ZERO);
}

#[test]
fn the_markup_comes_before_the_floor() {
    let rate = rate(&table(), 6000);
    let quote = rate.quote(&resources(3000, 0, 0, 0)).unwrap();
    assert_eq!(
        (quote.cost, quote.marked_up, quote.price),
        (decimal("5"), decimal("5.5"), decimal("5.5"))
    );
    assert!(!quote.is_floored());
    // 100 uve per hour is a sixth of a uve per block.
    let least = rate.quote(&resources(10, 0, 0, 0)).unwrap();
    assert_eq!(least.price, decimal("0.166666666666666667"));
    assert!(least.is_floored());
}

#[test]
fn a_month_is_720_hours_except_for_the_gpu() {
    let mut monthly = table();
    monthly.per = Period::Month;
    monthly.cpu_price_per_core = decimal("0.72");
    monthly.min_bid_price = Decimal::ZERO;
    let rate = rate(&monthly, 6000);
    assert_eq!(rate.quote(&resources(3000, 0, 0, 0)).unwrap().cost, decimal("5"));
    assert_eq!(rate.quote(&resources(0, 0, 0, 6)).unwrap().cost, decimal("500"));
}

#[test]
fn prices_may_be_in_the_base_denomination() {
    let mut base = table();
    base.currency = "uve".into();
    base.cpu_price_per_core = decimal("1000");
    base.min_bid_price = Decimal::ZERO;
    assert_eq!(
        rate(&base, 6000).quote(&resources(3000, 0, 0, 0)).unwrap().cost,
        decimal("5")
    );
    base.currency = "uvirt".into();
    let error = base
        .compile(&virt(), BlockTime::from_millis(6000).unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("\"uvirt\""));
}

#[test]
fn absurd_prices_are_refused_by_name() {
    let mut absurd = table();
    absurd.gpu_price_per_hour = Decimal::from_scaled(u128::MAX);
    let error = absurd
        .compile(&virt(), BlockTime::from_millis(6000).unwrap())
        .unwrap_err();
    assert_eq!(
        error,
        PricingError::TooLarge {
            field: "pricing.gpu_price_per_hour"
        }
    );
    let rate = rate(&table(), 6000);
    assert_eq!(
        rate.price(&resources(0, 0, 0, u64::MAX)),
        Err(PricingError::Overflow)
    );
}

#[test]
fn a_block_time_of_zero_does_not_exist() {
    assert_eq!(BlockTime::from_millis(0), None);
    assert!(serde_json::from_str::<BlockTime>("0").is_err());
    assert_eq!(
        serde_json::from_str::<BlockTime>("6000").unwrap().as_millis(),
        6000
    );
}

/// Numbers of any size as digits in base 2³², lowest first: slow, and independent of the code under test.
mod slow {
    use alloc::vec::Vec;

    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(super) struct Big(Vec<u32>);

    impl Big {
        pub(super) fn new(mut n: u128) -> Self {
            let mut digits = Vec::new();
            while n > 0 {
                digits.push((n & 0xffff_ffff) as u32);
                n >>= 32;
            }
            Self(digits)
        }

        pub(super) fn times(&self, n: u128) -> Self {
            let other = Self::new(n);
            let mut out = alloc::vec![0_u32; self.0.len() + other.0.len() + 1];
            for (i, a) in self.0.iter().enumerate() {
                let mut carry = 0_u64;
                for (j, b) in other.0.iter().enumerate() {
                    let sum = u64::from(*a) * u64::from(*b) + u64::from(out[i + j]) + carry;
                    out[i + j] = sum as u32;
                    carry = sum >> 32;
                }
                out[i + other.0.len()] = carry as u32;
            }
            Self(out).trimmed()
        }

        pub(super) fn plus(&self, other: &Self) -> Self {
            let mut out = Vec::new();
            let mut carry = 0_u64;
            for i in 0..self.0.len().max(other.0.len()) + 1 {
                let digit = |n: &Self| u64::from(n.0.get(i).copied().unwrap_or(0));
                let sum = digit(self) + digit(other) + carry;
                out.push(sum as u32);
                carry = sum >> 32;
            }
            Self(out).trimmed()
        }

        fn trimmed(mut self) -> Self {
            while self.0.last() == Some(&0) {
                self.0.pop();
            }
            self
        }

        pub(super) fn less(&self, other: &Self) -> bool {
            (self.0.len(), self.0.iter().rev().collect::<Vec<_>>())
                < (other.0.len(), other.0.iter().rev().collect::<Vec<_>>())
        }
    }
}

/// `price` is the least integer with `price × under ≥ over`.
fn is_ceiling(price: u128, over: &slow::Big, under: &slow::Big) -> bool {
    let reaches = |n: u128| !under.times(n).less(over);
    reaches(price) && (price == 0 || !reaches(price - 1))
}

prop_compose! {
    fn any_table()(
        cpu in 0..10_u128.pow(19), memory in 0..10_u128.pow(19), storage in 0..10_u128.pow(18), gpu in 0..10_u128.pow(20),
        min in 0..10_u128.pow(17), markup in 0..10_u128.pow(20), digits in 0..18_u32, month: bool,
    ) -> PriceTable {
        // Prices with fewer digits, as people write them, and with all 18.
        let cut = |n: u128| Decimal::from_scaled(n / 10_u128.pow(digits) * 10_u128.pow(digits));
        PriceTable {
            cpu_price_per_core: cut(cpu), memory_price_per_gb: cut(memory), storage_price_per_gb: cut(storage),
            gpu_price_per_hour: cut(gpu), network_price_per_gb: Decimal::ZERO, min_bid_price: cut(min),
            bid_markup_percent: Decimal::from_scaled(markup / 10_u128.pow(16) * 10_u128.pow(16)),
            currency: "VIRT".into(), per: if month { Period::Month } else { Period::Hour },
        }
    }
}

prop_compose! {
    fn any_resources()(cpu in 0..50_000_000_u64, memory in 0..(1_u64 << 46), storage in 0..(1_u64 << 52), gpus in 0..1000_u64)
        -> Resources {
        resources(cpu, memory, storage, gpus)
    }
}

proptest! {
    #[test]
    fn prices_as_people_write_them_always_compile(
        prices in [0..10_u64.pow(12), 0..10_u64.pow(12), 0..10_u64.pow(12), 0..10_u64.pow(12), 0..10_u64.pow(12)],
        markup in 0..10_000_000_u64, millis in 1..60_001_u64, month: bool,
    ) {
        // Up to 1000 with nine digits behind the point; up to 1000 % with four; blocks up to a minute.
        let [cpu, memory, storage, gpu, min] = prices.map(|n| Decimal::from_scaled(u128::from(n) * 10_u128.pow(9)));
        let table = PriceTable {
            cpu_price_per_core: cpu, memory_price_per_gb: memory, storage_price_per_gb: storage, gpu_price_per_hour: gpu,
            network_price_per_gb: Decimal::ZERO, min_bid_price: min,
            bid_markup_percent: Decimal::from_scaled(u128::from(markup) * 10_u128.pow(14)),
            currency: "VIRT".into(), per: if month { Period::Month } else { Period::Hour },
        };
        let rate = table.compile(&virt(), BlockTime::from_millis(millis).unwrap()).unwrap();
        // The largest unit that the chain allows, a thousand times.
        let largest = resources(384_000, 2 << 40, 32 << 40, 24).checked_mul(1000).unwrap();
        prop_assert!(rate.price(&largest).is_ok());
    }

    #[test]
    fn the_price_is_the_exact_rational_rounded_up(table in any_table(), wanted in any_resources(), millis in 1..60_000_u64) {
        let Ok(rate) = table.compile(&virt(), BlockTime::from_millis(millis).unwrap()) else { return Ok(()) };
        let price = rate.quote(&wanted).unwrap();
        let (period, hour) = (u128::from(table.per.millis()), 3_600_000_u128);
        // On one denominator: unit 1000 × GiB, both periods, 100 percent scaled.
        let gib = u128::from(GIB);
        let term = |price: Decimal, quantity: u64, rest: u128, other_period: u128| {
            slow::Big::new(price.scaled()).times(u128::from(quantity)).times(rest).times(other_period)
        };
        let sum = term(table.cpu_price_per_core, wanted.cpu_millis, gib, hour)
            .plus(&term(table.memory_price_per_gb, wanted.memory_bytes, 1000, hour))
            .plus(&term(table.storage_price_per_gb, wanted.storage_bytes, 1000, hour))
            .plus(&term(table.gpu_price_per_hour, wanted.gpus, 1000 * gib, period));
        let over = sum.times(1_000_000).times(u128::from(millis));
        let under = slow::Big::new(1000 * gib).times(period).times(hour);
        prop_assert!(is_ceiling(price.cost.scaled(), &over, &under));
        let hundred = 100 * crate::money::DECIMAL_ONE;
        let (over, under) = (over.times(hundred + table.bid_markup_percent.scaled()), under.times(hundred));
        prop_assert!(is_ceiling(price.marked_up.scaled(), &over, &under));
        prop_assert_eq!(price.price, price.marked_up.max(price.floor));
        prop_assert_eq!(rate.price(&wanted).unwrap(), price.price);
    }

    #[test]
    fn more_of_anything_never_costs_less(table in any_table(), wanted in any_resources(), extra in any_resources()) {
        let Ok(rate) = table.compile(&virt(), BlockTime::from_millis(6000).unwrap()) else { return Ok(()) };
        let base = rate.price(&wanted).unwrap();
        prop_assert!(base >= rate.floor());
        for more in [
            Resources { cpu_millis: wanted.cpu_millis + extra.cpu_millis, ..wanted },
            Resources { memory_bytes: wanted.memory_bytes + extra.memory_bytes, ..wanted },
            Resources { storage_bytes: wanted.storage_bytes + extra.storage_bytes, ..wanted },
            Resources { gpus: wanted.gpus + extra.gpus, ..wanted },
        ] {
            prop_assert!(rate.price(&more).unwrap() >= base);
        }
    }
}

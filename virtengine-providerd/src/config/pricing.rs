use serde::Serialize;
use virtengine_metering::pricing::PricingInputs;
use virtengine_provider_core::document::{Code, Cursor, Problems};
use virtengine_provider_core::money::Decimal;
use virtengine_provider_core::pricing::{BlockTime, Denomination, Period, PriceTable, PricingError};

use super::Chain;
use super::section::Section;

/// What things cost, in [`Pricing::currency`] per [`Pricing::per`]. The defaults are the sample values of the training
/// document: a start, not a recommendation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pricing {
    /// One core.
    pub cpu_price_per_core: Decimal,
    /// One GiB of memory.
    pub memory_price_per_gb: Decimal,
    /// One GiB of storage.
    pub storage_price_per_gb: Decimal,
    /// One GPU, always per hour, as its name says.
    pub gpu_price_per_hour: Decimal,
    /// One GiB of traffic, whatever the time.
    pub network_price_per_gb: Decimal,
    /// No bid is below this, per [`Pricing::per`].
    pub min_bid_price: Decimal,
    /// Added to the sum, in percent.
    pub bid_markup_percent: Decimal,
    /// The money: the chain's display name or its base denomination.
    pub currency: String,
    /// The time that prices are for.
    pub per: PricingPeriod,
}

/// The time that prices are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PricingPeriod {
    /// 3600 seconds.
    Hour,
    /// 30 days of 24 hours.
    Month,
}

impl Pricing {
    pub(super) const KEYS: &[&str] = &[
        "cpu_price_per_core",
        "memory_price_per_gb",
        "storage_price_per_gb",
        "gpu_price_per_hour",
        "network_price_per_gb",
        "min_bid_price",
        "bid_markup_percent",
        "currency",
        "per",
    ];

    /// Whether amounts are in the chain's base denomination rather than in its display name.
    #[must_use]
    pub fn is_in_base(&self, chain: &Chain) -> bool {
        self.currency == chain.denom.as_str()
    }

    pub(super) fn read(at: Option<Cursor<'_, '_>>, chain: &Chain, problems: &mut Problems) -> Self {
        let mut section = Section::open(at, "pricing", Self::KEYS, problems);
        let currency = section.text_or("currency", &chain.display);
        if currency != chain.display && currency != chain.denom.as_str() {
            let message = format!(
                "the chain's money is {} (in units of {})",
                chain.display, chain.denom
            );
            section.error(
                Code::Conflict,
                "currency",
                message,
                "use one of them, or set chain.display and chain.denom",
            );
        }
        let pricing = Self {
            cpu_price_per_core: section.decimal("cpu_price_per_core", "0.001"),
            memory_price_per_gb: section.decimal("memory_price_per_gb", "0.0005"),
            storage_price_per_gb: section.decimal("storage_price_per_gb", "0.0001"),
            gpu_price_per_hour: section.decimal("gpu_price_per_hour", "0.05"),
            network_price_per_gb: section.decimal("network_price_per_gb", "0"),
            min_bid_price: section.decimal("min_bid_price", "0.0001"),
            bid_markup_percent: section.decimal("bid_markup_percent", "10.0"),
            currency,
            per: section.one_of(
                "per",
                &[("hour", PricingPeriod::Hour), ("month", PricingPeriod::Month)],
                PricingPeriod::Hour,
            ),
        };
        if pricing.bid_markup_percent.ceil() > 1000 {
            section.error(
                Code::InvalidValue,
                "bid_markup_percent",
                "more than 1000 percent",
                "10 means one tenth more",
            );
        }
        if let Err(PricingError::TooLarge { field }) = pricing.computed(chain) {
            let key = field.strip_prefix("pricing.").unwrap_or(field);
            section.error(
                Code::InvalidValue,
                key,
                "too large to be computed exactly",
                "check the unit: prices are in `currency` per `per`",
            );
        }
        pricing
    }

    /// Everything that bids and usage records compute from the prices before there is an order.
    fn computed(&self, chain: &Chain) -> Result<(), PricingError> {
        let denomination = Denomination {
            denom: chain.denom.clone(),
            display: chain.display.clone(),
            exponent: chain.exponent,
        };
        let table = PriceTable {
            cpu_price_per_core: self.cpu_price_per_core,
            memory_price_per_gb: self.memory_price_per_gb,
            storage_price_per_gb: self.storage_price_per_gb,
            gpu_price_per_hour: self.gpu_price_per_hour,
            network_price_per_gb: self.network_price_per_gb,
            min_bid_price: self.min_bid_price,
            bid_markup_percent: self.bid_markup_percent,
            currency: self.currency.clone(),
            per: match self.per {
                PricingPeriod::Hour => Period::Hour,
                PricingPeriod::Month => Period::Month,
            },
        };
        PricingInputs::from_table(&table, &denomination)?;
        if let Ok(block_time) = BlockTime::try_from(chain.block_time) {
            table.compile(&denomination, block_time)?;
        }
        Ok(())
    }
}

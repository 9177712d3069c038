//! Prices and strategies.

use virtengine_bid::Event;
use virtengine_bid::reason::DeclineReason;
use virtengine_bid::strategy::{CostPlus, Request, Strategy, StrategyError};
use virtengine_provider_core::money::Decimal;
use virtengine_provider_core::ports::chain::Message;

use crate::fixture::{Desk, cores, decimal, order, order_id, policy, price};

fn declined(desk: &mut Desk) -> Option<DeclineReason> {
    desk.settle().into_iter().find_map(|event| match event {
        Event::OrderDeclined { reason, .. } => Some(reason),
        _ => None,
    })
}

#[test]
fn the_bid_has_the_exact_price_and_the_deposit_of_the_policy() {
    let mut desk = Desk::roomy();
    desk.see(order(1));
    let events = desk.settle();
    let message = events
        .iter()
        .find_map(|event| desk.bidder.message(event))
        .unwrap();
    // (1000 + 500) uve per hour ÷ 600 blocks × 1.1
    assert_eq!(
        message,
        Message::CreateBid {
            id: desk.id(1),
            price: price("2.75"),
            deposit: "500000uve".parse().unwrap(),
        }
    );
}

#[test]
fn a_price_above_the_tenants_maximum_is_declined_with_both_numbers() {
    let mut desk = Desk::roomy();
    let mut cheap = order(1);
    cheap.spec.resources[0].price = price("2.749999999999999999");
    desk.see(cheap);
    assert_eq!(
        declined(&mut desk),
        Some(DeclineReason::PriceAboveMax {
            price: decimal("2.75"),
            max: decimal("2.749999999999999999")
        })
    );
    assert_eq!(desk.bidder.status(&desk.book, desk.now).left_this_minute, 10);
}

#[test]
fn every_replica_is_paid_and_priced() {
    let mut desk = Desk::roomy();
    let mut three = order(1);
    three.spec.resources[0].count = 3;
    three.spec.resources[0].price = price("2.75");
    desk.see(three);
    let events = desk.settle();
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::BidDecided { price, .. } if price.amount == decimal("8.25")))
    );
}

#[test]
fn capping_to_the_maximum_never_goes_below_cost() {
    let bid = |max: &str| {
        let mut desk = Desk::with(policy(), cores(10), Box::new(CostPlus { cap_to_max: true }));
        let mut wanted = order(1);
        wanted.spec.resources[0].price = price(max);
        desk.see(wanted);
        desk.settle().into_iter().find_map(|event| match event {
            Event::BidDecided { price, .. } => Some(price.amount),
            _ => None,
        })
    };
    assert_eq!(bid("3"), Some(decimal("2.75")));
    assert_eq!(bid("2.6"), Some(decimal("2.6")));
    assert_eq!(bid("2.5"), Some(decimal("2.5")));
    assert_eq!(bid("2.49"), None);
}

#[derive(Debug)]
struct Fixed(Result<Decimal, StrategyError>);

impl Strategy for Fixed {
    fn price(&self, _: &Request<'_>) -> Result<Decimal, StrategyError> {
        self.0.clone()
    }
}

#[test]
fn a_strategy_cannot_go_below_the_floor() {
    let mut desk = Desk::with(policy(), cores(10), Box::new(Fixed(Ok(Decimal::ZERO))));
    desk.see(order(1));
    let events = desk.settle();
    let floor = desk.bidder.rate().floor();
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::BidDecided { price, .. } if price.amount == floor))
    );
}

#[test]
fn a_strategy_without_a_price_declines_with_its_words() {
    let broken = Fixed(Err(StrategyError("oracle is stale".to_owned())));
    let mut desk = Desk::with(policy(), cores(10), Box::new(broken));
    desk.see(order(1));
    let reason = declined(&mut desk).unwrap();
    assert!(reason.to_string().contains("oracle is stale"));
}

#[test]
fn a_price_of_zero_is_not_sent() {
    let mut free = policy();
    free.prices.cpu_price_per_core = Decimal::ZERO;
    free.prices.memory_price_per_gb = Decimal::ZERO;
    free.prices.min_bid_price = Decimal::ZERO;
    let mut desk = Desk::new(free, cores(10));
    desk.see(order(1));
    assert_eq!(declined(&mut desk), Some(DeclineReason::PriceZero));
}

#[test]
fn explain_tells_how_the_price_came_to_be() {
    let mut desk = Desk::roomy();
    desk.see(order(1));
    desk.settle();
    let text = virtengine_bid::explain::explain(&desk.book, &order_id(1))
        .unwrap()
        .join("\n");
    for part in [
        "1000 millicores",
        "cpu 1.666666666666666667",
        "2.75uve per block",
        "at most 10uve",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(virtengine_bid::explain::explain(&desk.book, &order_id(2)), None);
}

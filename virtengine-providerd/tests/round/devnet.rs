//! `devnet --once`: exit code 0 means that every step truly happened and that the books close.

use crate::program::{json, program};

fn once(arguments: &[&str]) -> serde_json::Value {
    json(
        program()
            .args([
                "devnet",
                "--once",
                "--listen",
                "127.0.0.1:0",
                "--block-time",
                "250ms",
            ])
            .args(arguments),
    )
}

fn amount(value: &serde_json::Value) -> u128 {
    value.to_string().trim_matches('"').parse().unwrap()
}

#[test]
fn one_round_ends_with_more_money_than_before() {
    let told = once(&[]);
    let rounds = told["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 1);
    let round = &rounds[0];
    assert!(
        round["order"]["height"].as_u64() < round["bid"]["height"].as_u64(),
        "{round}"
    );
    assert!(
        round["usage_on_chain"]
            .as_array()
            .unwrap()
            .iter()
            .all(|usage| usage["settled"] == true),
        "{round}"
    );
    assert!(
        amount(&told["money"]["after"]) > amount(&told["money"]["before"]),
        "{}",
        told["money"]
    );
    assert_eq!(amount(&told["money"]["after"]), amount(&told["expected_after"]));
}

#[test]
fn two_tenants_with_three_deployments_each_are_served_at_once() {
    let told = once(&["--tenants", "2", "--deployments", "3"]);
    let rounds = told["rounds"].as_array().unwrap();
    let mut leases: Vec<&str> = rounds
        .iter()
        .map(|round| round["lease"].as_str().unwrap())
        .collect();
    leases.sort_unstable();
    leases.dedup();
    assert_eq!(leases.len(), 6);
    assert_eq!(amount(&told["money"]["after"]), amount(&told["expected_after"]));
}

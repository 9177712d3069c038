use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::resources::{Asked, attribute_map};
use crate::document::{Code, Cursor, Problems, Scalar};
use crate::id::Address;
use crate::manifest::limits::{ATTRIBUTES_MAX, GROUPS_MAX, PRICE_MAX};
use crate::manifest::names::{at_most, check_key};
use crate::market::Attribute;
use crate::money::{Denom, Price};

/// One placement as the text states it.
pub(super) struct Placement<'d> {
    pub(super) attributes: Vec<Attribute>,
    pub(super) signed_by_all_of: Vec<Address>,
    pub(super) signed_by_any_of: Vec<Address>,
    /// By compute profile; `None` when the price could not be read, which is reported.
    pub(super) pricing: BTreeMap<&'d str, Option<Price>>,
}

/// The placements by name.
pub(super) fn placements<'d>(
    at: Cursor<'_, 'd>,
    compute: &BTreeMap<&str, Asked>,
    problems: &mut Problems,
) -> BTreeMap<&'d str, Placement<'d>> {
    let mut placements = BTreeMap::new();
    let Some(fields) = at.map(problems) else {
        return placements;
    };
    at_most(at, fields.len(), GROUPS_MAX, "placements", problems);
    let mut denom = None;
    for (name, span, value) in fields.iter().take(GROUPS_MAX) {
        check_key(name, &value.path, span, problems);
        if let Some(placement) = placement(value, compute, &mut denom, problems) {
            placements.insert(name, placement);
        }
    }
    placements
}

fn placement<'d>(
    at: Cursor<'_, 'd>,
    compute: &BTreeMap<&str, Asked>,
    denom: &mut Option<Denom>,
    problems: &mut Problems,
) -> Option<Placement<'d>> {
    let fields = at.map(problems)?;
    fields.only(&["attributes", "signedBy", "signed_by", "pricing"], problems);
    let attributes = fields
        .get("attributes")
        .map_or_else(Vec::new, |at| attribute_map(at, problems));
    let signed_by = fields.get("signedBy").or_else(|| fields.get("signed_by"));
    let (all_of, any_of) = signed_by.map_or_else(Default::default, |at| signed_by_lists(at, problems));
    let mut pricing = BTreeMap::new();
    let pricing_at = fields.require("pricing", problems);
    if let Some(prices) = pricing_at.and_then(|at| at.map(problems)) {
        for (profile, span, value) in prices.iter() {
            if !compute.contains_key(profile) {
                let message = format!("there is no compute profile {}", Scalar::shown_text(profile));
                problems.error_at(Code::UndefinedReference, &value.path, span, message, None);
            }
            pricing.insert(profile, price(value, denom, problems));
        }
    }
    Some(Placement {
        attributes,
        signed_by_all_of: all_of,
        signed_by_any_of: any_of,
        pricing,
    })
}

fn signed_by_lists(at: Cursor<'_, '_>, problems: &mut Problems) -> (Vec<Address>, Vec<Address>) {
    let Some(fields) = at.map(problems) else {
        return Default::default();
    };
    fields.only(&["allOf", "anyOf", "all_of", "any_of"], problems);
    let mut list = |camel: &str, snake: &str| {
        let at = fields.get(camel).or_else(|| fields.get(snake));
        at.map_or_else(Vec::new, |at| addresses(at, problems))
    };
    (list("allOf", "all_of"), list("anyOf", "any_of"))
}

fn addresses(at: Cursor<'_, '_>, problems: &mut Problems) -> Vec<Address> {
    let Some(items) = at.list(problems) else {
        return Vec::new();
    };
    at_most(at, items.len(), ATTRIBUTES_MAX, "auditors", problems);
    let mut addresses = Vec::new();
    for item in items.iter().take(ATTRIBUTES_MAX) {
        let Some(scalar) = item.scalar(problems) else {
            continue;
        };
        match scalar.text.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                let message = format!("{} is not an address", scalar.shown());
                problems.error(Code::InvalidValue, item, message);
            }
        }
    }
    addresses
}

/// A price of one unit per block. All prices of a manifest are in one denomination (spec/chain.md B.6).
fn price(at: Cursor<'_, '_>, denom: &mut Option<Denom>, problems: &mut Problems) -> Option<Price> {
    let fields = at.map(problems)?;
    fields.only(&["denom", "amount"], problems);
    let denom_at = fields.require("denom", problems);
    let ours = denom_at.and_then(|at| {
        let scalar = at.scalar(problems)?;
        let parsed: Option<Denom> = scalar.text.parse().ok();
        if parsed.is_none() {
            let message = format!("{} is not a denomination", scalar.shown());
            problems.error_hint(Code::InvalidValue, at, message, "for example uve");
        }
        parsed
    });
    let amount_at = fields.require("amount", problems);
    let amount = amount_at.and_then(|at| at.decimal(problems));
    if let (Some(at), Some(amount)) = (amount_at, amount) {
        if amount.ceil() > PRICE_MAX {
            let message =
                format!("{amount} is more than {PRICE_MAX}, the highest price that the chain takes");
            problems.error(Code::InvalidValue, at, message);
        } else if amount.is_zero() {
            let message = "nobody can bid on a price of zero";
            problems.notice(Code::DefaultUsed, at, message, None);
        }
    }
    if let (Some(at), Some(ours)) = (denom_at, &ours) {
        let first = denom.get_or_insert_with(|| ours.clone());
        if first != ours {
            let message = format!("{ours}, but another price is in {first}");
            problems.error_hint(Code::Conflict, at, message, "all prices are in one denomination");
        }
    }
    Some(Price::new(ours?, amount?))
}

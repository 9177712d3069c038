//! Filters and pages.

use crate::query::invalid;
use crate::state::failure::Failure;
use crate::wire::mv1;
use crate::wire::page::{PageRequest, PageResponse};

/// Items of a page when the request names no limit.
const LIMIT_DEFAULT: u64 = 100;

/// Checks the state filter (`known`: every legal state) and that `offset` comes with one.
pub(super) fn check_filter(state: &str, known: &[&str], page: Option<&PageRequest>) -> Result<(), Failure> {
    if !state.is_empty() && !known.contains(&state) {
        return Err(invalid("invalid state value"));
    }
    if state.is_empty() && page.is_some_and(|p| p.offset > 0) {
        return Err(invalid(
            "invalid request parameters. if offset is set, filter.state must be provided",
        ));
    }
    Ok(())
}

/// Cuts one page out of `all`. The key of the next page is the position of its first item; the total counts the items of this
/// page only, as on the chain (spec/chain-node.md 2.6).
pub(super) fn cut<T>(all: Vec<T>, request: Option<PageRequest>) -> (Vec<T>, PageResponse) {
    let request = request.unwrap_or_default();
    let start = request
        .key
        .as_slice()
        .try_into()
        .map_or(request.offset, u64::from_be_bytes);
    let limit = if request.limit == 0 {
        LIMIT_DEFAULT
    } else {
        request.limit
    };
    let len = u64::try_from(all.len()).unwrap_or(u64::MAX);
    let start = start.min(len);
    let end = start.saturating_add(limit).min(len);
    let response = PageResponse {
        next_key: if end < len {
            end.to_be_bytes().to_vec()
        } else {
            Vec::new()
        },
        total: end - start,
    };
    let skip = usize::try_from(start).unwrap_or(usize::MAX);
    let take = usize::try_from(end - start).unwrap_or(usize::MAX);
    (all.into_iter().skip(skip).take(take).collect(), response)
}

/// Whether an order id fits a filter; zero and empty fit all.
pub(super) fn order_fits(id: &mv1::OrderId, owner: &str, dseq: u64, gseq: u32, oseq: u32) -> bool {
    text_fits(owner, &id.owner)
        && (dseq == 0 || dseq == id.dseq)
        && (gseq == 0 || gseq == id.gseq)
        && (oseq == 0 || oseq == id.oseq)
}

/// Whether `have` is what is wanted; empty fits all.
pub(super) fn text_fits(wanted: &str, have: &str) -> bool {
    wanted.is_empty() || wanted == have
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_leads_to_the_next_page() {
        let all: Vec<u32> = (0..5).collect();
        let first = PageRequest {
            limit: 2,
            ..PageRequest::default()
        };
        let (items, page) = cut(all.clone(), Some(first));
        assert_eq!((items, page.total), (vec![0, 1], 2));
        let second = PageRequest {
            key: page.next_key,
            limit: 10,
            ..PageRequest::default()
        };
        let (items, page) = cut(all, Some(second));
        assert_eq!(items, vec![2, 3, 4]);
        assert!(page.next_key.is_empty());
    }
}

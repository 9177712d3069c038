use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use virtengine_provider_core::id::Address;
use virtengine_provider_core::ports::adapter::LogLine;

use crate::api::{ApiError, ApiResult, ErrorBody, ErrorCode, LogStream};

/// Open log streams of one owner.
const PER_OWNER_MAX: u32 = 8;

/// Open log streams of all owners.
const TOTAL_MAX: u32 = 256;

/// A stream without news says so this often, which also finds readers that are gone.
const QUIET: Duration = Duration::from_secs(15);

/// Counts open log streams.
#[derive(Debug, Default)]
pub(super) struct StreamTable {
    open: Mutex<BTreeMap<Address, u32>>,
}

/// One open stream; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<StreamTable>,
    owner: Address,
}

impl StreamTable {
    pub(super) fn open(self: &Arc<Self>, owner: &Address) -> ApiResult<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let total: u32 = open.values().sum();
        let own = open.get(owner).copied().unwrap_or(0);
        if own >= PER_OWNER_MAX || total >= TOTAL_MAX {
            return Err(ApiError::new(
                ErrorCode::RateLimited,
                format!("too many open log streams ({own} of {PER_OWNER_MAX} yours)"),
                "close one, then ask again",
            ));
        }
        open.insert(owner.clone(), own + 1);
        Ok(Place {
            table: self.clone(),
            owner: owner.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.table.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.owner) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                open.remove(&self.owner);
            }
        }
    }
}

/// How lines look on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object per line.
    Json,
    /// `service/replica text`.
    Plain,
}

impl Format {
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-ndjson",
            Self::Plain => "text/plain; charset=utf-8",
        }
    }

    fn line(self, item: &ApiResult<LogLine>) -> Bytes {
        let text = match (self, item) {
            (Self::Json, Ok(line)) => serde_json::to_string(line).unwrap_or_default(),
            (Self::Json, Err(error)) => {
                serde_json::to_string(&ErrorBody { error: error.clone() }).unwrap_or_default()
            }
            (Self::Plain, Ok(line)) => format!("{}/{} {}", line.service, line.replica, printable(&line.text)),
            (Self::Plain, Err(error)) => format!("error: {error}"),
        };
        Bytes::from(text + "\n")
    }
}

/// What a workload prints must not steer the terminal of who reads it.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_control() && letter != '\t' {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect()
}

/// The body of a log answer: ends with the log, with its first error, or with the server.
pub(super) fn body(
    lines: LogStream,
    format: Format,
    place: Place,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> + Send + 'static {
    let lines = Ended { lines, over: false };
    let quiet = with_quiet_marks(lines, QUIET);
    quiet
        .map(move |item| {
            // The place is held for as long as the stream lives.
            let _ = &place;
            Ok(item.map_or_else(|| Bytes::from_static(b"\n"), |item| format.line(&item)))
        })
        .take_until(shutdown.cancelled_owned())
}

/// A stream that ends after its first error.
struct Ended {
    lines: LogStream,
    over: bool,
}

impl Stream for Ended {
    type Item = ApiResult<LogLine>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let polled = self.lines.poll_next_unpin(cx);
        self.over = matches!(polled, Poll::Ready(Some(Err(_))));
        polled
    }
}

/// Passes items on; `None` whenever there was none for `quiet`.
fn with_quiet_marks<S>(stream: S, quiet: Duration) -> impl Stream<Item = Option<S::Item>> + Send + 'static
where
    S: Stream + Unpin + Send + 'static,
    S::Item: Send,
{
    futures_util::stream::unfold(stream, move |mut stream| async move {
        match tokio::time::timeout(quiet, stream.next()).await {
            Ok(Some(item)) => Some((Some(item), stream)),
            Ok(None) => None,
            Err(_) => Some((None, stream)),
        }
    })
}

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use virtengine_provider_core::ports::clock::Clock;

use super::ring::LogRing;
use crate::api::{LogEntry, LogLevel};

/// The longest sentence that is kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// The longest value of a field that is kept, in bytes.
const FIELD_BYTES_MAX: usize = 1024;

/// Puts every event that reaches it into a [`LogRing`].
pub struct RingLayer {
    ring: Arc<LogRing>,
    clock: Arc<dyn Clock>,
}

impl RingLayer {
    /// Fills `ring`, with times from `clock`.
    #[must_use]
    pub fn new(ring: Arc<LogRing>, clock: Arc<dyn Clock>) -> Self {
        Self { ring, clock }
    }
}

impl fmt::Debug for RingLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RingLayer").finish_non_exhaustive()
    }
}

impl<S: Subscriber> Layer<S> for RingLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        let metadata = event.metadata();
        self.ring.push(LogEntry {
            at: self.clock.now(),
            level: level(*metadata.level()),
            target: metadata.target().to_owned(),
            message: seen.message,
            fields: seen.fields,
        });
    }
}

fn level(level: Level) -> LogLevel {
    match level {
        Level::TRACE => LogLevel::Trace,
        Level::DEBUG => LogLevel::Debug,
        Level::INFO => LogLevel::Info,
        Level::WARN => LogLevel::Warn,
        Level::ERROR => LogLevel::Error,
    }
}

#[derive(Default)]
struct Seen {
    message: String,
    fields: BTreeMap<String, String>,
}

impl Seen {
    fn note(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = cut(text, MESSAGE_BYTES_MAX);
        } else {
            self.fields
                .insert(field.name().to_owned(), cut(text, FIELD_BYTES_MAX));
        }
    }
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, format!("{value:?}"));
    }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;
    use virtengine_provider_core::time::Timestamp;

    use super::*;
    use crate::api::OperatorLogQuery;
    use crate::log::LogRingOptions;

    struct Noon;
    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(43_200)
        }
    }

    #[test]
    fn an_event_becomes_a_line_with_its_fields() {
        let ring = Arc::new(LogRing::open(LogRingOptions::default()).unwrap());
        let subscriber = tracing_subscriber::registry().with(RingLayer::new(ring.clone(), Arc::new(Noon)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(order = %"ve1/1", attempt = 2, "the bid failed");
        });
        let tail = ring.tail(OperatorLogQuery {
            tail: 9,
            level: LogLevel::Error,
        });
        assert_eq!(tail.len(), 1);
        assert_eq!(
            (tail[0].message.as_str(), tail[0].level),
            ("the bid failed", LogLevel::Error)
        );
        assert_eq!(tail[0].fields["order"], "ve1/1");
        assert_eq!(tail[0].fields["attempt"], "2");
    }

    #[test]
    fn a_long_text_is_cut_between_letters() {
        assert_eq!(cut("äöü".to_owned(), 3), "ä…");
        assert_eq!(cut("abc".to_owned(), 3), "abc");
    }
}

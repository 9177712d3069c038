//! Taking events in. An event that was taken in already changes nothing.

use virtengine_provider_core::time::Timestamp;

use super::state::{Event, Meter, Metering, Open, Phase, Started};
use crate::alerts::Alerts;
use crate::metrics::{Metrics, Reading};
use crate::record::Digest;
use crate::signed::Draft;
use crate::traffic::Traffic;

impl Meter {
    /// Takes `event` in.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::Started(started) => self.started(started),
            Event::WindowClosed { draft, next_end } => self.window_closed(draft, *next_end),
            Event::RecordSigned(recorded) => {
                self.unsigned.remove(&recorded.signed.record.sequence);
            }
            Event::CountersSeen {
                reading,
                used,
                coverage,
            } => {
                if let Phase::Metering(metering) = &mut self.phase
                    && reading.at >= metering.counted_to
                {
                    metering.open = Open {
                        used: *used,
                        coverage: *coverage,
                        ..metering.open
                    };
                    metering.seen(reading);
                }
            }
            Event::Alert(change) => {
                if let Phase::Metering(metering) = &mut self.phase {
                    metering.alerts.evolve(change);
                }
            }
            Event::Silent { since } => {
                if let Phase::Metering(metering) = &mut self.phase {
                    metering.silent = *since == metering.counted_to;
                }
            }
            Event::Closed { .. } => {
                if let Phase::Metering(metering) = &self.phase {
                    self.phase = Phase::Closed(metering.clone());
                }
            }
        }
    }

    fn started(&mut self, started: &Started) {
        if self.phase != Phase::Idle {
            return;
        }
        let counted_to = started
            .baseline
            .map_or(started.start, |reading| reading.at.max(started.start));
        self.phase = Phase::Metering(Box::new(Metering {
            start: started.clone(),
            open: Open::empty(started.start, started.window_end),
            counted_to,
            last: started.baseline,
            sequence: 1,
            previous: Digest::NONE,
            closed: Metrics::ZERO,
            traffic: Traffic::default(),
            alerts: Alerts::default(),
            silent: false,
        }));
    }

    fn window_closed(&mut self, draft: &Draft, next_end: Timestamp) {
        let Phase::Metering(metering) = &mut self.phase else {
            return;
        };
        let record = &draft.record;
        if record.sequence != metering.sequence {
            return;
        }
        metering.close(draft, next_end);
        self.unsigned.insert(record.sequence, draft.clone());
    }
}

impl Metering {
    fn seen(&mut self, reading: &Reading) {
        self.counted_to = reading.at;
        self.last = Some(*reading);
        self.silent = false;
    }

    /// Closes the open window with `draft` and opens the next one. Also used while deciding, on a copy.
    pub(super) fn close(&mut self, draft: &Draft, next_end: Timestamp) {
        let record = &draft.record;
        self.closed = self.closed.checked_add(&record.metrics).unwrap_or(self.closed);
        self.previous = record.digest();
        self.sequence = self.sequence.saturating_add(1);
        self.traffic.push(record);
        self.open = Open::empty(record.end, next_end);
    }
}

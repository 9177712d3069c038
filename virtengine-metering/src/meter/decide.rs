//! Deciding what a command means. Nothing is changed here.

use std::time::Duration;

use virtengine_provider_core::time::Timestamp;

use super::command::{Command, Policy, Rejected, Start};
use super::spread::Spread;
use super::state::{Event, Meter, Metering, Phase, Recorded, Started};
use crate::alerts::Load;
use crate::charge::charges;
use crate::metrics::{METRIC_NAMES, Metrics, Reading};
use crate::pricing::RATE_MAX;
use crate::record::{RecordKind, UsageRecord};
use crate::signed::Draft;
use crate::window::{ceil_second, floor_second};

/// How far a time may lie ahead of ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

impl Meter {
    /// What `command` leads to, at `now`. Commands that were carried out already lead to nothing.
    ///
    /// # Errors
    /// [`Rejected`].
    pub fn decide(&self, policy: &Policy, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        match command {
            Command::Start(start) => self.decide_start(policy, start, now),
            Command::Sample(counters) => self.decide_sample(policy, &counters.into(), now),
            Command::Tick => Ok(self.decide_tick(policy, now)),
            Command::Sign {
                sequence,
                key,
                signatures,
            } => {
                let Some(draft) = self.unsigned.get(sequence) else {
                    return self.refuse_or_ignore_signature(*sequence);
                };
                let signed = draft.sign(key, signatures)?;
                let verdict = draft.verdict.clone();
                Ok(vec![Event::RecordSigned(Box::new(Recorded { signed, verdict }))])
            }
            Command::Close { at } => self.decide_close(policy, *at, now),
        }
    }

    /// A record that was signed already is not signed again.
    fn refuse_or_ignore_signature(&self, sequence: u64) -> Result<Vec<Event>, Rejected> {
        let made = self
            .metering()
            .is_some_and(|m| (1..m.sequence).contains(&sequence));
        if made {
            Ok(Vec::new())
        } else {
            Err(Rejected::NoDraft(sequence))
        }
    }

    fn decide_start(&self, policy: &Policy, start: &Start, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        if let Some(metering) = self.metering() {
            let same = metering.start.subject == start.subject;
            return if same {
                Ok(Vec::new())
            } else {
                Err(Rejected::Started)
            };
        }
        refuse_future(start.at, now)?;
        if let Some(counters) = &start.baseline {
            refuse_future(counters.at, now)?;
        }
        if let Some((name, _)) = start
            .pricing
            .rates()
            .into_iter()
            .find(|(_, rate)| *rate > RATE_MAX)
        {
            return Err(Rejected::Rate(name));
        }
        let first = floor_second(start.at);
        Ok(vec![Event::Started(Box::new(Started {
            subject: start.subject.clone(),
            allocated: start.allocated,
            pricing: start.pricing.clone(),
            start: first,
            window_end: policy.windows.end_after(first),
            baseline: start.baseline.as_ref().map(Reading::from),
        }))])
    }

    fn decide_sample(
        &self,
        policy: &Policy,
        reading: &Reading,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejected> {
        let metering = match &self.phase {
            Phase::Idle => return Err(Rejected::NotMetering),
            Phase::Closed(_) => return Err(Rejected::Closed),
            Phase::Metering(metering) => metering,
        };
        if metering.last.as_ref() == Some(reading) {
            return Ok(Vec::new());
        }
        refuse_future(reading.at, now)?;
        let (delta, reset) = metering.delta(reading)?;
        let spread = Spread {
            delta,
            from: metering.counted_to,
            to: reading.at,
        };
        let mut events = Vec::new();
        let working = metering.spread(policy, &spread, reset, now, &mut events)?;
        let (used, coverage) = (working.open.used, working.open.coverage);
        events.push(Event::CountersSeen {
            reading: *reading,
            used,
            coverage,
        });
        let millis = spread.overlap_millis(spread.from, spread.to);
        // Over less than a second, counters that are read in turn are no load.
        if !reset && millis >= 1000 {
            let load = Load::of(&delta, &metering.start.allocated, millis, reading.at);
            events.extend(
                metering
                    .alerts
                    .decide(&policy.alerts, &load)
                    .into_iter()
                    .map(Event::Alert),
            );
        }
        Ok(events)
    }

    fn decide_tick(&self, policy: &Policy, now: Timestamp) -> Vec<Event> {
        match &self.phase {
            Phase::Metering(m) if !m.silent && now.since(m.counted_to) > policy.silent_after => {
                vec![Event::Silent { since: m.counted_to }]
            }
            _ => Vec::new(),
        }
    }

    fn decide_close(&self, policy: &Policy, at: Timestamp, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        let metering = match &self.phase {
            Phase::Idle => return Err(Rejected::NotMetering),
            Phase::Closed(_) => return Ok(Vec::new()),
            Phase::Metering(metering) => metering,
        };
        refuse_future(at, now)?;
        let mut end = ceil_second(at.max(metering.counted_to)).max(metering.open.start);
        if end == metering.open.start && !metering.open.used.is_zero() {
            end = end.plus(Duration::from_secs(1));
        }
        let mut working = metering.clone();
        let mut events = Vec::new();
        // What was never read: windows that say so.
        while working.open.end < end {
            let next_end = policy.windows.catch_up_end(working.open.end, end);
            working.close_window(policy, RecordKind::Periodic, next_end, now, &mut events)?;
        }
        working.open.end = end;
        working.close_window(policy, RecordKind::Final, end, now, &mut events)?;
        events.push(Event::Closed { at: end });
        Ok(events)
    }
}

fn refuse_future(at: Timestamp, now: Timestamp) -> Result<(), Rejected> {
    if at > now.plus(CLOCK_SKEW) {
        Err(Rejected::Future { at })
    } else {
        Ok(())
    }
}

impl Metering {
    /// What was counted since the newest reading, and whether the back end counts anew.
    fn delta(&self, reading: &Reading) -> Result<(Metrics, bool), Rejected> {
        let out_of_order = Rejected::OutOfOrder {
            at: reading.at,
            newest: self.counted_to,
        };
        if reading.at < self.counted_to {
            return Err(out_of_order);
        }
        let Some(last) = &self.last else {
            return Ok((reading.counted, false));
        };
        if last.epoch != reading.epoch {
            // Two epochs at one moment: which one is newer cannot be told.
            return if reading.at > last.at {
                Ok((reading.counted, true))
            } else {
                Err(out_of_order)
            };
        }
        match reading.counted.checked_sub(&last.counted) {
            Some(delta) => Ok((delta, false)),
            None => Err(decreased(last, reading)),
        }
    }

    /// Spreads usage over the windows up to the reading, closing those that end there or before. Returns the state after.
    fn spread(
        &self,
        policy: &Policy,
        spread: &Spread,
        reset: bool,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Result<Self, Rejected> {
        let mut working = self.clone();
        let mut seen = false;
        while working.open.end <= spread.to {
            let end = working.open.end;
            seen = end == spread.to;
            let used = spread.between(working.open.start, end);
            working.take(spread, used, end, reset, seen)?;
            let next_end = policy.windows.catch_up_end(end, spread.to);
            working.close_window(policy, RecordKind::Periodic, next_end, now, events)?;
        }
        // Without any time between two readings the difference belongs to the open window as a whole.
        if spread.is_instant() || !seen {
            let used = if spread.is_instant() {
                spread.delta
            } else {
                spread.between(working.open.start, spread.to)
            };
            working.take(spread, used, spread.to, reset, !seen)?;
        }
        Ok(working)
    }

    /// Adds what was used in the open window up to `end`.
    fn take(
        &mut self,
        spread: &Spread,
        used: Metrics,
        end: Timestamp,
        reset: bool,
        holds_reading: bool,
    ) -> Result<(), Rejected> {
        let open = &mut self.open;
        open.used = open
            .used
            .checked_add(&used)
            .filter(Metrics::is_plausible)
            .ok_or(Rejected::Implausible)?;
        let coverage = &mut open.coverage;
        if holds_reading {
            coverage.samples = coverage.samples.saturating_add(1);
            coverage.resets = coverage.resets.saturating_add(u64::from(reset));
        }
        if !reset {
            let known = spread.overlap_millis(open.start, end);
            coverage.measured_millis = coverage.measured_millis.saturating_add(known);
        }
        Ok(())
    }

    /// Closes the open window.
    fn close_window(
        &mut self,
        policy: &Policy,
        kind: RecordKind,
        next_end: Timestamp,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Result<(), Rejected> {
        let mut record = UsageRecord {
            id: String::new(),
            subject: self.start.subject.clone(),
            deployment: self
                .start
                .subject
                .lease
                .as_ref()
                .map(|lease| lease.deployment().clone()),
            sequence: self.sequence,
            previous: self.previous,
            kind,
            start: self.open.start,
            end: self.open.end,
            metrics: self.open.used,
            allocated: self.start.allocated,
            pricing: self.start.pricing.clone(),
            coverage: self.open.coverage,
            created_at: now,
        };
        record.id = record.expected_id();
        let verdict = policy.fraud.check(&record.facts(self.traffic.normal(), now));
        let charges = if policy.charges {
            charges(&record).map_err(|_| Rejected::Implausible)?
        } else {
            Vec::new()
        };
        let draft = Box::new(Draft {
            record,
            verdict,
            charges,
        });
        self.close(&draft, next_end);
        events.push(Event::WindowClosed { draft, next_end });
        Ok(())
    }
}

fn decreased(last: &Reading, reading: &Reading) -> Rejected {
    let pairs = last
        .counted
        .to_array()
        .into_iter()
        .zip(reading.counted.to_array());
    let fallen = METRIC_NAMES
        .into_iter()
        .zip(pairs)
        .find(|(_, (before, now))| now < before);
    let (metric, (before, now)) = fallen.unwrap_or(("a counter", (0, 0)));
    Rejected::Decreased { metric, before, now }
}

//! What a command changes. Everything goes through [`Steps::moved`], which knows the transition table.

use alloc::string::String;
use alloc::vec::Vec;

use super::command::{Command, Sight};
use super::event::{Cause, Event};
use super::state::{Deadlines, Errand, Goal, Wish, Workload, WorkloadState};
use crate::ports::adapter::{Phase, Retry};
use crate::time::Timestamp;

/// Longest text of a back end that is kept, in bytes: it goes into the journal.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It changes this.
    Accepted(Vec<Event>),
    /// It changes nothing: it is so already, or it says nothing new.
    Ignored,
    /// It cannot be done.
    Denied(Denied),
}

impl Decision {
    /// What happened; empty unless accepted.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        match self {
            Self::Accepted(events) => events,
            Self::Ignored | Self::Denied(_) => &[],
        }
    }
}

/// Why a command cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// Its lease is not active.
    #[error("the workload has no active lease, so it is not deployed")]
    NotLive,
    /// It is being removed.
    #[error("the workload is being terminated")]
    Ending,
    /// The state does not permit it.
    #[error("a workload that is {state} cannot {verb}")]
    State {
        /// Where it is.
        state: WorkloadState,
        /// What was asked.
        verb: &'static str,
    },
}

impl Workload {
    /// Decides what `command` changes at `now`.
    #[must_use]
    pub fn decide(&self, command: &Command, deadlines: &Deadlines, now: Timestamp) -> Decision {
        let mut steps = Steps {
            workload: self.clone(),
            events: Vec::new(),
            deadlines,
            now,
        };
        let answer = match command {
            Command::Deploy { live } => steps.deploy(*live),
            Command::Pause => steps.pause(),
            Command::Resume => steps.resume(),
            Command::Stop => steps.stop(),
            Command::Terminate => steps.terminate(Cause::Requested),
            Command::LeaseEnded => steps.terminate(Cause::LeaseEnded),
            Command::GiveUp { cause } => steps.give_up(cause),
            Command::Observed(sight) => {
                steps.observed(sight);
                Ok(())
            }
            Command::Done { wish } => {
                steps.done(*wish);
                Ok(())
            }
            Command::AdapterFailed { wish, message, retry } => {
                steps.adapter_failed(*wish, message, *retry);
                Ok(())
            }
            Command::Tick => {
                steps.tick();
                Ok(())
            }
        };
        match answer {
            Err(denied) => Decision::Denied(denied),
            Ok(()) if steps.events.is_empty() => Decision::Ignored,
            Ok(()) => Decision::Accepted(steps.events),
        }
    }
}

/// A decision in the making: the workload as it will be, and the events that lead there.
struct Steps<'a> {
    workload: Workload,
    events: Vec<Event>,
    deadlines: &'a Deadlines,
    now: Timestamp,
}

type Answer = Result<(), Denied>;

impl Steps<'_> {
    fn step(&mut self, event: Event) {
        self.workload.evolve(&event);
        self.events.push(event);
    }

    fn moved(&mut self, to: WorkloadState, cause: Cause) {
        let (from, at) = (self.workload.state(), self.now);
        debug_assert!(from.may_become(to), "{from} may not become {to}");
        self.step(Event::WorkloadMoved { from, to, cause, at });
    }

    fn aim(&mut self, goal: Goal, cause: Cause) {
        let at = self.now;
        self.step(Event::WorkloadGoalSet { goal, cause, at });
    }

    fn wish(&mut self, wish: Wish) {
        let (due, at) = (self.now.plus(self.deadlines.of(wish)), self.now);
        self.step(Event::WorkloadWished { wish, due, at });
    }

    /// Failed, and what has to follow when everything of it shall go.
    fn fail(&mut self, cause: Cause) {
        self.moved(WorkloadState::Failed, cause);
        if self.workload.goal == Goal::Terminate {
            self.wish(Wish::Terminate);
        }
    }

    const fn denied(&self, verb: &'static str) -> Answer {
        if matches!(self.workload.goal, Goal::Terminate) {
            return Err(Denied::Ending);
        }
        Err(Denied::State {
            state: self.workload.state(),
            verb,
        })
    }

    fn deploy(&mut self, live: bool) -> Answer {
        use WorkloadState as S;
        match (self.workload.state(), self.workload.goal) {
            (S::Deploying | S::Running, Goal::Run) => Ok(()),
            (S::Pending | S::Stopped | S::Failed, Goal::Run | Goal::Pause | Goal::Stop) => {
                if !live {
                    return Err(Denied::NotLive);
                }
                if self.workload.goal != Goal::Run {
                    self.aim(Goal::Run, Cause::Requested);
                }
                self.moved(S::Deploying, Cause::Requested);
                self.wish(Wish::Deploy);
                Ok(())
            }
            _ => self.denied("be deployed"),
        }
    }

    fn pause(&mut self) -> Answer {
        use WorkloadState as S;
        match (self.workload.state(), self.workload.goal) {
            (S::Running | S::Paused, Goal::Pause) => Ok(()),
            (S::Running | S::Paused, Goal::Run) => {
                self.aim(Goal::Pause, Cause::Requested);
                self.wish(Wish::Pause);
                Ok(())
            }
            _ => self.denied("be paused"),
        }
    }

    fn resume(&mut self) -> Answer {
        use WorkloadState as S;
        match (self.workload.state(), self.workload.goal) {
            (S::Running | S::Paused, Goal::Run) => Ok(()),
            (S::Running | S::Paused, Goal::Pause) => {
                self.aim(Goal::Run, Cause::Requested);
                // Also while it still runs: the pause may be on its way to the back end.
                self.wish(Wish::Resume);
                Ok(())
            }
            _ => self.denied("be resumed"),
        }
    }

    fn stop(&mut self) -> Answer {
        use WorkloadState as S;
        match (self.workload.state(), self.workload.goal) {
            (S::Deploying | S::Stopping | S::Stopped, Goal::Stop) => Ok(()),
            (S::Deploying, Goal::Run) => {
                self.aim(Goal::Stop, Cause::Requested);
                self.wish(Wish::Stop);
                Ok(())
            }
            (S::Running | S::Paused, Goal::Run | Goal::Pause) => {
                self.aim(Goal::Stop, Cause::Requested);
                self.moved(S::Stopping, Cause::Requested);
                self.wish(Wish::Stop);
                Ok(())
            }
            _ => self.denied("be stopped"),
        }
    }

    fn terminate(&mut self, cause: Cause) -> Answer {
        use WorkloadState as S;
        if self.workload.goal == Goal::Terminate {
            return Ok(());
        }
        self.aim(Goal::Terminate, cause.clone());
        match self.workload.state() {
            S::Pending => self.fail(cause),
            S::Running | S::Paused => {
                self.moved(S::Stopping, cause);
                self.wish(Wish::Stop);
            }
            S::Stopping => self.wish(Wish::Stop),
            S::Deploying | S::Stopped | S::Failed | S::Terminated => self.wish(Wish::Terminate),
        }
        Ok(())
    }

    fn give_up(&mut self, cause: &Cause) -> Answer {
        match self.workload.state() {
            WorkloadState::Pending | WorkloadState::Deploying => {
                self.fail(cause.clone());
                Ok(())
            }
            WorkloadState::Failed | WorkloadState::Terminated => Ok(()),
            _ => self.denied("be given up"),
        }
    }

    fn done(&mut self, wish: Wish) {
        let at = self.now;
        if self.errand_is(wish).is_some_and(|errand| errand.done.is_none()) {
            self.step(Event::WorkloadWishDone { wish, at });
        }
    }

    fn tick(&mut self) {
        let due = self.workload.next_deadline().is_some_and(|due| due <= self.now);
        if let Some(errand) = self.workload.errand.as_ref().filter(|_| due) {
            let (wish, at) = (errand.wish, self.now);
            self.step(Event::WorkloadOverdue { wish, at });
        }
    }

    fn adapter_failed(&mut self, wish: Wish, message: &str, retry: Retry) {
        use WorkloadState as S;
        if self.errand_is(wish).is_none() {
            return;
        }
        let message = shortened(message);
        // Removing is never given up, however the back end puts it.
        if retry != Retry::Never || wish == Wish::Terminate {
            let at = self.now;
            self.step(Event::WorkloadTroubled { wish, message, at });
            return;
        }
        let refused = Cause::Refused { wish, message };
        match (wish, self.workload.state()) {
            (Wish::Pause, S::Running) => self.aim(Goal::Run, refused),
            (Wish::Deploy | Wish::Stop, S::Deploying)
            | (Wish::Resume, S::Paused)
            | (Wish::Stop, S::Stopping) => self.fail(refused),
            // It was to confirm what is so already.
            _ => self.settled(),
        }
    }

    fn errand_is(&self, wish: Wish) -> Option<&Errand> {
        self.workload.errand.as_ref().filter(|errand| errand.wish == wish)
    }

    fn settled(&mut self) {
        let at = self.now;
        self.step(Event::WorkloadSettled { at });
    }

    fn observed(&mut self, sight: &Sight) {
        use WorkloadState as S;
        // Asked before it came to where it is: says nothing about where it is now.
        if sight.at < self.workload.since() || sight.phase == Phase::Unknown {
            return;
        }
        match self.workload.state() {
            S::Deploying if self.workload.goal == Goal::Run => self.seen_deploying(sight),
            S::Deploying => self.seen_deploying_to_end(sight),
            S::Running => self.seen_running(sight),
            S::Paused => self.seen_paused(sight),
            S::Stopping => self.seen_stopping(sight),
            S::Stopped => self.seen_stopped(sight),
            S::Failed => self.seen_gone(sight),
            S::Pending | S::Terminated => {}
        }
    }

    fn seen_deploying(&mut self, sight: &Sight) {
        match sight.phase {
            Phase::Running => self.moved(WorkloadState::Running, Cause::Observed),
            Phase::Failed => self.bad(sight),
            _ => {
                if let Some(cause) = self.overdue() {
                    self.fail(cause);
                }
            }
        }
    }

    /// It shall stop or go before it ever ran. What was seen before the adapter did its work may only mean that the
    /// deployment had not begun yet.
    fn seen_deploying_to_end(&mut self, sight: &Sight) {
        let over = match sight.phase {
            Phase::Stopped => self.workload.goal == Goal::Stop,
            Phase::Gone => true,
            _ => false,
        };
        if over && self.seen_after_done(sight) {
            self.moved(WorkloadState::Stopped, Cause::Observed);
            if self.workload.goal == Goal::Terminate {
                self.moved(WorkloadState::Terminated, Cause::Observed);
            }
        } else if !over && let Some(cause) = self.overdue() {
            self.fail(cause);
        }
    }

    fn seen_running(&mut self, sight: &Sight) {
        match sight.phase {
            Phase::Paused => {
                self.moved(WorkloadState::Paused, Cause::Observed);
                if self.workload.goal == Goal::Run {
                    self.wish(Wish::Resume);
                }
            }
            Phase::Failed | Phase::Gone | Phase::Stopped => self.bad(sight),
            _ => {
                if sight.phase == Phase::Running {
                    self.clear(sight);
                }
                if self.workload.goal == Goal::Pause
                    && let Some(cause) = self.overdue()
                {
                    self.aim(Goal::Run, cause);
                }
            }
        }
    }

    fn seen_paused(&mut self, sight: &Sight) {
        match sight.phase {
            Phase::Running => {
                self.moved(WorkloadState::Running, Cause::Observed);
                if self.workload.goal == Goal::Pause {
                    self.wish(Wish::Pause);
                }
            }
            Phase::Failed | Phase::Gone | Phase::Stopped => self.bad(sight),
            _ => {
                if sight.phase == Phase::Paused {
                    self.clear(sight);
                }
                if self.workload.goal == Goal::Run
                    && let Some(cause) = self.overdue()
                {
                    self.fail(cause);
                }
            }
        }
    }

    fn seen_stopping(&mut self, sight: &Sight) {
        let ending = self.workload.goal == Goal::Terminate;
        match sight.phase {
            Phase::Gone if !ending => {
                if self.overdue().is_some() {
                    self.fail(broken(sight));
                }
            }
            Phase::Stopped | Phase::Gone => {
                self.moved(WorkloadState::Stopped, Cause::Observed);
                if ending {
                    self.wish(Wish::Terminate);
                }
            }
            Phase::Failed if self.seen_after_done(sight) => self.fail(broken(sight)),
            _ => {
                if let Some(cause) = self.overdue() {
                    self.fail(cause);
                }
            }
        }
    }

    fn seen_stopped(&mut self, sight: &Sight) {
        match (sight.phase, &self.workload.errand) {
            // Somebody else has started it: it would use compute that nobody pays.
            (Phase::Running, None) => self.wish(Wish::Stop),
            (Phase::Stopped, Some(errand)) if errand.wish == Wish::Stop && self.seen_after_done(sight) => {
                self.settled();
            }
            _ => self.seen_gone(sight),
        }
    }

    /// Terminated means gone: the adapter has removed it, and the back end says afterwards that it is not there.
    fn seen_gone(&mut self, sight: &Sight) {
        let ending = self.workload.goal == Goal::Terminate;
        if ending && sight.phase == Phase::Gone && self.seen_after_done(sight) {
            self.moved(WorkloadState::Terminated, Cause::Observed);
        }
    }

    /// A sign that it broke: the first is kept, a second one over the grace period is proof.
    fn bad(&mut self, sight: &Sight) {
        let grace = self.deadlines.grace;
        match self.workload.suspicion() {
            Some(first) if sight.at < first.at.plus(grace) => {}
            Some(_) => self.fail(broken(sight)),
            None => self.step(Event::WorkloadSuspected {
                phase: sight.phase,
                message: shortened(&sight.message),
                at: sight.at,
            }),
        }
    }

    /// It is as it should be.
    fn clear(&mut self, sight: &Sight) {
        let at = self.now;
        if self.workload.suspicion().is_some() {
            self.step(Event::WorkloadCleared { at });
        }
        let confirms = match sight.phase {
            Phase::Running => self.errand_is(Wish::Resume).is_some(),
            _ => self.errand_is(Wish::Pause).is_some(),
        };
        if confirms && self.seen_after_done(sight) {
            self.settled();
        }
    }

    fn seen_after_done(&self, sight: &Sight) -> bool {
        let done = self.workload.errand.as_ref().and_then(|errand| errand.done);
        done.is_some_and(|done| done <= sight.at)
    }

    fn overdue(&self) -> Option<Cause> {
        let errand = self.workload.errand.as_ref().filter(|errand| errand.overdue)?;
        Some(Cause::Overdue {
            wish: errand.wish,
            trouble: errand.trouble.clone(),
        })
    }
}

fn broken(sight: &Sight) -> Cause {
    Cause::Broken {
        phase: sight.phase,
        message: shortened(&sight.message),
    }
}

fn shortened(message: &str) -> String {
    let mut end = message.len().min(MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    message.get(..end).unwrap_or_default().into()
}

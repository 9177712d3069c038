//! Applying what happened.

use super::event::{Cause, Event};
use super::state::{Errand, Failed, Settled, Stage, Suspicion, Watched, Wish, Workload, WorkloadState};
use crate::time::Timestamp;

impl Workload {
    /// Applies what happened. Events come from [`Self::decide`]; the same events in the same order give the same workload.
    pub fn evolve(&mut self, event: &Event) {
        match event {
            Event::WorkloadMoved { to, cause, at, .. } => {
                if *to == WorkloadState::Deploying {
                    self.attempt = self.attempt.saturating_add(1);
                }
                self.stage = entered(*to, cause, *at);
                self.errand = None;
            }
            Event::WorkloadGoalSet { goal, cause, .. } => {
                self.goal = *goal;
                self.goal_cause = Some(cause.clone());
                self.errand = None;
            }
            Event::WorkloadWished { wish, due, at } => {
                self.errand = Some(Errand {
                    wish: *wish,
                    since: *at,
                    due: *due,
                    done: None,
                    overdue: false,
                    trouble: None,
                });
            }
            Event::WorkloadWishDone { wish, at } => self.on_errand(*wish, |errand| errand.done = Some(*at)),
            Event::WorkloadTroubled { wish, message, .. } => {
                // Trouble after "done" means that it was not done after all.
                self.on_errand(*wish, |errand| {
                    errand.trouble = Some(message.clone());
                    errand.done = None;
                });
            }
            Event::WorkloadOverdue { wish, .. } => self.on_errand(*wish, |errand| errand.overdue = true),
            Event::WorkloadSuspected { phase, message, at } => self.suspect(Some(Suspicion {
                phase: *phase,
                message: message.clone(),
                at: *at,
            })),
            Event::WorkloadSettled { .. } => self.errand = None,
            Event::WorkloadCleared { .. } => self.suspect(None),
        }
    }

    fn on_errand(&mut self, wish: Wish, change: impl FnOnce(&mut Errand)) {
        if let Some(errand) = self.errand.as_mut().filter(|errand| errand.wish == wish) {
            change(errand);
        }
    }

    fn suspect(&mut self, suspicion: Option<Suspicion>) {
        match &mut self.stage {
            Stage::Deploying(watched) | Stage::Running(watched) | Stage::Paused(watched) => {
                watched.suspicion = suspicion;
            }
            Stage::Pending(_)
            | Stage::Stopping(_)
            | Stage::Stopped(_)
            | Stage::Failed(_)
            | Stage::Terminated(_) => {}
        }
    }
}

/// The stage of a workload that has just come to `state`.
fn entered(state: WorkloadState, cause: &Cause, since: Timestamp) -> Stage {
    let settled = Settled { since };
    let watched = Watched {
        since,
        suspicion: None,
    };
    match state {
        WorkloadState::Pending => Stage::Pending(settled),
        WorkloadState::Deploying => Stage::Deploying(watched),
        WorkloadState::Running => Stage::Running(watched),
        WorkloadState::Paused => Stage::Paused(watched),
        WorkloadState::Stopping => Stage::Stopping(settled),
        WorkloadState::Stopped => Stage::Stopped(settled),
        WorkloadState::Failed => Stage::Failed(Failed {
            since,
            cause: cause.clone(),
        }),
        WorkloadState::Terminated => Stage::Terminated(settled),
    }
}

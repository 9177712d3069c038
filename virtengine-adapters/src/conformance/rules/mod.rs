//! The rules, one file per subject.

mod absence;
mod cancellation;
mod capability;
mod deploying;
mod ending;
mod foreign;
mod honesty;
mod inventory;
mod kinds;
mod logs;
mod pausing;
mod refusal;
mod restart;
mod secrets;
mod stopping;
mod transport;
mod usage;

use std::fmt;
use std::pin::Pin;

use super::bench::Bench;
use super::finding::Finding;

/// One promise of an adapter.
#[derive(Clone, Copy)]
pub struct Rule {
    /// Its name, a sentence in one word.
    pub name: &'static str,
    /// What it is about, e.g. `usage`.
    pub subject: &'static str,
    /// What it asks for.
    pub sentence: &'static str,
    pub(crate) check: Check,
}

pub(crate) type Check =
    for<'b, 'f> fn(&'b mut Bench<'f>) -> Pin<Box<dyn Future<Output = Finding> + Send + 'b>>;

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The rule that answers for objects of others, the last one.
pub(crate) const FOREIGN_RULE: &str = "foreign_objects_are_never_touched";

/// The one list of all rules: hands it, after `$given`, to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_rules {
    (($($callback:tt)+) $($given:tt)*) => {
        $($callback)+! { ($($given)*)
            deploying a_deployed_workload_becomes_running
                "a deployed workload becomes running, with every service ready, and is listed";
            deploying deploying_again_is_the_same_workload
                "deploying a workload that runs changes nothing: no second one, no restart";
            deploying deploying_twice_at_the_same_time_is_one_workload
                "two deploys of one workload at the same time make one";
            deploying workloads_do_not_depend_on_each_other
                "ending one workload leaves the other as it is";
            ending a_terminated_workload_is_gone
                "when terminate returns, nothing of the workload is left on the back end";
            ending terminating_twice_or_something_unknown_is_success
                "terminating what is not there is success and has no effect";
            ending terminating_during_a_deploy_ends_with_nothing
                "a terminate that overtakes a deploy, and is repeated, leaves nothing";
            transport every_call_of_a_deploy_may_fail
                "whichever call of a deploy fails, doing it again makes one workload and giving it up leaves nothing";
            transport every_call_of_a_terminate_may_fail
                "whichever call of a terminate fails, it does not say that all is gone, and doing it again leaves nothing";
            transport every_answer_of_a_deploy_may_be_lost
                "whichever answer during a deploy is lost, doing it again makes one workload and giving it up leaves nothing";
            transport every_answer_of_a_terminate_may_be_lost
                "whichever answer during a terminate is lost, doing it again leaves nothing";
            transport every_call_of_a_deploy_may_be_cut_off
                "whichever call of a deploy is cut off, doing it again makes one workload and giving it up leaves nothing";
            transport every_call_of_a_terminate_may_be_cut_off
                "whichever call of a terminate is cut off, doing it again leaves nothing";
            transport every_call_of_a_deploy_may_be_slow
                "whichever call of a deploy is slow, doing it again makes one workload and giving it up leaves nothing";
            transport every_call_of_a_terminate_may_be_slow
                "whichever call of a terminate is slow, doing it again leaves nothing";
            kinds an_unavailable_back_end_is_said_to_be_unavailable
                "a call that the back end could not serve is unavailable and may be tried again, and names adapter and call";
            kinds a_lost_answer_is_said_to_be_unavailable
                "a call whose answer was lost is unavailable and may be tried again, and names adapter and call";
            kinds refused_credentials_are_said_to_be_denied
                "a call whose credentials were refused is denied, and names adapter and call";
            kinds a_back_end_that_asks_to_slow_down_is_said_to_limit
                "a call that was put off by the back end is rate limited and to be tried later, and names adapter and call";
            cancellation a_deploy_given_up_midway_can_be_done_again
                "a deploy that is dropped at any moment can be done again, and makes one workload";
            cancellation a_terminate_given_up_midway_can_be_done_again
                "a terminate that is dropped at any moment can be done again, and leaves nothing";
            restart a_restart_finds_everything_of_ours
                "after a restart exactly what was deployed is listed, in the state that it is in";
            restart what_was_deployed_before_a_restart_can_be_ended_after_it
                "after a restart every workload can be stopped, deployed again and terminated";
            restart the_list_names_each_workload_once
                "each workload is listed once, whatever was done to it";
            stopping a_stopped_workload_uses_no_compute
                "a stopped workload has no service ready and uses neither CPU nor memory";
            stopping a_stopped_workload_starts_again_when_it_is_deployed
                "deploying a stopped workload starts it again";
            stopping stopping_keeps_data
                "data outlive a stop and are there when the workload is deployed again";
            pausing pausing_works_or_is_refused
                "declared, a paused workload uses no CPU until it is resumed; undeclared, pausing is refused without effect";
            pausing a_paused_workload_can_be_stopped_and_ended
                "a paused workload can be stopped, deployed again and terminated";
            usage a_running_workload_is_measured
                "the counters of a running workload rise";
            usage usage_never_decreases
                "no counter falls within an epoch, whatever happens to the workload and the adapter";
            usage usage_does_not_decrease_when_a_workload_is_killed
                "no counter falls within an epoch when the compute of a workload is killed";
            usage a_workload_made_anew_counts_in_a_new_epoch
                "a workload that was terminated and deployed again counts in another epoch";
            usage a_reset_of_the_counters_is_a_new_epoch
                "when the back end counts from zero again the epoch changes";
            absence what_is_not_there_is_gone_or_not_found
                "observing what is not there says gone; every other call says not found";
            absence a_workload_that_vanished_is_gone
                "a workload that was removed behind the adapter's back is said to be gone, and can be deployed again";
            honesty a_killed_workload_is_not_said_to_run_on
                "a workload whose compute was killed is not observed as if nothing had happened";
            honesty a_failed_question_is_never_an_answer
                "when the back end does not answer, a workload is neither gone nor stopped, and the list is not shorter";
            capability gpus_work_or_are_refused
                "declared, a workload with a GPU runs; undeclared, it is refused without effect";
            capability persistent_storage_works_or_is_refused
                "declared, a workload with a persistent volume runs again after a stop; undeclared, it is refused without effect";
            logs logs_can_be_read_or_are_refused
                "declared, what a service wrote can be read; undeclared, reading is refused";
            logs log_positions_rise_and_reading_goes_on_after_them
                "positions rise, and reading after a position loses and repeats nothing, also over a stop and a restart";
            logs the_tail_of_a_log_is_its_end
                "a tail is the last lines, and the other service's log is not this one's";
            refusal more_than_there_is_is_refused_without_effect
                "a workload that does not fit is refused and leaves nothing";
            refusal nonsense_is_refused_without_effect
                "resources too large to be added are refused as invalid and leave nothing";
            refusal nonsense_is_refused_before_the_first_call
                "resources too large to be added are refused before the back end is asked anything";
            secrets secrets_are_in_no_error_and_no_observation
                "what a tenant keeps secret is in no error, no observation and no debug output";
            secrets secrets_are_in_no_failure_of_the_back_end
                "when the back end fails, what a tenant keeps secret is in no error";
            inventory our_own_workloads_are_not_foreign_use
                "our own workloads neither count as use by others nor make the capacity smaller";
            foreign foreign_objects_are_never_touched
                "objects of others are as they were after a whole life of a workload, and after every other rule";
        }
    };
}

macro_rules! listed {
    (() $($subject:ident $name:ident $sentence:literal;)*) => {
        /// Every rule, in the order in which they are run.
        pub const RULES: &[Rule] = &[$(Rule {
            name: stringify!($name),
            subject: stringify!($subject),
            sentence: $sentence,
            check: |bench| Box::pin($subject::$name(bench)),
        }),*];
    };
}

__conformance_rules! { (listed) }

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own_and_the_one_about_others_is_last() {
        let names: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
        assert_eq!(RULES.last().map(|rule| rule.name), Some(FOREIGN_RULE));
    }
}

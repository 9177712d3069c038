//! Adapters that are known to be bad: each is rejected, and on the rule that it breaks.

mod adapter;
mod fixture;

use virtengine_adapters::conformance::{Outcome, Report, run_all};

use self::fixture::Spoiled;

/// What is wrong with an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    LeaksOnAFailedDeploy,
    StaysBusyWhenADeployIsDropped,
    SaysRunningWhenItIsNot,
    ForgetsAfterARestart,
    CreatesATwinWhenAskedOnceTooOften,
    TouchesForeignObjects,
    UsageGoesBackwardsAfterARestart,
    UndeclaredGpusHaveEffects,
    SecretInARefusal,
    SecretInAFailure,
    DeniedIsCalledUnavailable,
    SilenceIsGone,
    AFailedListIsEmpty,
    AFailedTerminateIsSuccess,
    TerminatingTheUnknownFails,
    ListsTwice,
    APausedWorkloadRunsOn,
    AStopLosesData,
    LogsRepeatALine,
    OwnUseIsForeign,
    OneEpochForEver,
    AsksBeforeItThinks,
    PanicsOnATail,
}

async fn report(flaw: Flaw) -> Report {
    run_all(&Spoiled::new(flaw)).await
}

async fn breaks(flaw: Flaw, rules: &[&str]) {
    let report = report(flaw).await;
    assert_eq!(report.broken(), rules, "{flaw:?}\n{report}");
}

/// One test for each flaw, with the rules that it breaks.
macro_rules! each_breaks {
    ($($test:ident: $flaw:ident => $($rule:literal),+;)*) => {$(
        #[tokio::test]
        async fn $test() {
            breaks(Flaw::$flaw, &[$($rule),+]).await;
        }
    )*};
}

each_breaks! {
    a_leak_on_a_failed_deploy_is_found: LeaksOnAFailedDeploy => "every_call_of_a_deploy_may_fail";
    a_deploy_that_stays_busy_when_it_is_dropped_is_found: StaysBusyWhenADeployIsDropped
        => "a_deploy_given_up_midway_can_be_done_again";
    a_lie_about_running_is_found: SaysRunningWhenItIsNot => "a_killed_workload_is_not_said_to_run_on";
    forgetting_is_found: ForgetsAfterARestart => "a_restart_finds_everything_of_ours";
    a_twin_is_found: CreatesATwinWhenAskedOnceTooOften => "deploying_again_is_the_same_workload";
    harm_to_others_is_found: TouchesForeignObjects => "foreign_objects_are_never_touched";
    falling_usage_is_found: UsageGoesBackwardsAfterARestart => "usage_never_decreases";
    an_effect_of_what_is_undeclared_is_found: UndeclaredGpusHaveEffects => "gpus_work_or_are_refused";
    a_secret_in_a_refusal_is_found: SecretInARefusal => "secrets_are_in_no_error_and_no_observation";
    a_secret_in_a_failure_is_found: SecretInAFailure => "secrets_are_in_no_failure_of_the_back_end";
    a_wrong_kind_is_found: DeniedIsCalledUnavailable => "refused_credentials_are_said_to_be_denied";
    silence_taken_for_gone_is_found: SilenceIsGone => "a_failed_question_is_never_an_answer";
    silence_taken_for_an_empty_list_is_found: AFailedListIsEmpty => "a_failed_question_is_never_an_answer";
    a_swallowed_failure_is_found: AFailedTerminateIsSuccess => "every_call_of_a_terminate_may_fail";
    // Doing it again after a lost answer is the same as terminating what is not there.
    failing_on_the_unknown_is_found: TerminatingTheUnknownFails
        => "terminating_twice_or_something_unknown_is_success", "terminating_during_a_deploy_ends_with_nothing",
        "every_call_of_a_deploy_may_fail", "every_answer_of_a_terminate_may_be_lost", "a_terminate_given_up_midway_can_be_done_again",
        "a_workload_that_vanished_is_gone";
    a_list_with_doubles_is_found: ListsTwice => "the_list_names_each_workload_once";
    a_pause_that_is_none_is_found: APausedWorkloadRunsOn => "pausing_works_or_is_refused";
    // What this back end keeps as data is also its log.
    lost_data_are_found: AStopLosesData
        => "stopping_keeps_data", "log_positions_rise_and_reading_goes_on_after_them",
        "the_tail_of_a_log_is_its_end";
    a_repeated_line_is_found: LogsRepeatALine => "log_positions_rise_and_reading_goes_on_after_them";
    own_use_called_foreign_is_found: OwnUseIsForeign => "our_own_workloads_are_not_foreign_use";
    an_epoch_that_never_changes_is_found: OneEpochForEver
        => "a_workload_made_anew_counts_in_a_new_epoch", "a_reset_of_the_counters_is_a_new_epoch";
    a_refusal_that_comes_late_is_found: AsksBeforeItThinks => "nonsense_is_refused_before_the_first_call";
    a_panic_breaks_the_rule_and_not_the_kit: PanicsOnATail => "the_tail_of_a_log_is_its_end";
}

#[tokio::test]
async fn the_words_say_what_is_wrong_and_during_which_rule() {
    let words = |report: Report| -> String {
        let failed = report.rules.into_iter().filter_map(|rule| match rule.outcome {
            Outcome::Failed(words) => Some(words),
            _ => None,
        });
        failed.collect()
    };
    let check = |said: String, expected: &str| assert!(said.contains(expected), "{said}");
    check(
        words(report(Flaw::LeaksOnAFailedDeploy).await),
        "call 1 was made to fail: the failed deploy left",
    );
    check(
        words(report(Flaw::TouchesForeignObjects).await),
        "during a_terminated_workload_is_gone: others used",
    );
    check(
        words(report(Flaw::PanicsOnATail).await),
        "it panicked: a tail of 1",
    );
    let secret = words(report(Flaw::SecretInARefusal).await);
    assert!(
        secret.contains("[the secret]") && !secret.contains("sesame"),
        "{secret}"
    );
}

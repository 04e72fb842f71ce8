"""Alerts on what is learned and on what is decided from it."""

from plaudit.monitoring.promql import Alert, Group

LEARNING_GROUP = Group(
    "plaudit-learning",
    [
        Alert(
            "RewardModelDrift",
            "max by (head) (plaudit_reward_model_drift_psi_nats) > 0.25",
            600.0,
            "warning",
            "{{ $labels.head }}: scores of the newest answers moved by {{ $value }} nats since the training window",
        ),
        Alert(
            "RewardModelMiscalibrated",
            "max by (head) (plaudit_reward_model_calibration_error_ratio) > 0.1",
            600.0,
            "warning",
            "{{ $labels.head }}: probabilities are off by {{ $value | humanizePercentage }} on held-out feedback",
        ),
        Alert(
            "RewardModelDisagrees",
            "max(plaudit_reward_model_disagreement_ratio) > 0.3",
            600.0,
            "warning",
            "The newest reward model orders {{ $value | humanizePercentage }} of held-out pairs unlike the champion",
        ),
        Alert(
            "KlBudgetNearlySpent",
            'max(plaudit_policy_champion_kl_to_base_nats) > 0.75 * max(plaudit_policy_kl_budget_nats{against="base"})',
            600.0,
            "warning",
            "The champion is {{ $value }} nats a token from the base: soon the gate refuses whatever goes on from it",
        ),
        Alert(
            "GateRefusesAll",
            'max(plaudit_policy_adapters{state="refused"}) > 9 '
            'unless on () (sum(max by (state) (plaudit_policy_adapters{state!~"refused|candidate"})) > 0)',
            3600.0,
            "warning",
            "The gate has refused all {{ $value }} adapters that were ever trained",
        ),
    ],
)

EXPERIMENTS_GROUP = Group(
    "plaudit-experiments",
    [
        Alert(
            "SampleRatioMismatch",
            "max(plaudit_experiment_sample_ratio_log_e_value_nats)"
            " >= max(plaudit_experiment_sample_ratio_boundary_nats > 0) and max(plaudit_experiment_running) > 0",
            60.0,
            "critical",
            "People do not land in the arms as they should (log e-value {{ $value }}): no comparison can be trusted",
        ),
        Alert(
            "ExperimentHeldLong",
            "time() - max(plaudit_experiment_held_since_timestamp_seconds > 0) > seconds(259200)",
            600.0,
            "warning",
            "The running experiment has been held for the same reason for {{ $value | humanizeDuration }}",
        ),
        Alert(
            "RollbackHappened",
            'time() - max(plaudit_experiment_last_decision_timestamp_seconds{kind="rollback"}) < seconds(3600)',
            0.0,
            "warning",
            "An adapter was rolled back {{ $value | humanizeDuration }} ago",
        ),
        Alert(
            "SelfTestFailing",
            "max(plaudit_experiment_self_test_effects_missing) > 0",
            0.0,
            "critical",
            "{{ $value }} injected effects were not found: the tests of experiments are broken, promotions are blocked",
        ),
        Alert(
            "SentinelAlarm",
            "max(plaudit_experiment_sentinel_alarms_waiting) > 0",
            0.0,
            "critical",
            "The champion looks different from itself: promotions are blocked until somebody has looked",
        ),
    ],
)

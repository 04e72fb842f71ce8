"""Dashboards of what is learned and decided: labels and rewards, experiments."""

from plaudit.monitoring.panels import Dashboard, Panel

LABELS = Dashboard(
    "plaudit-learning",
    "Plaudit: labels and rewards",
    "What people's feedback becomes: labels, trust, the reward model, and the policy trained against it.",
    [
        (
            "Labels and trust",
            [
                Panel("Overdue labels", [("max(plaudit_label_overdue_labels)", "windows closed, label not final")]),
                Panel("Label lag", [("max(plaudit_label_lag_seconds)", "oldest")], "seconds", threshold=900),
                Panel(
                    "Weight of the ten heaviest people",
                    [("max(plaudit_trust_top_ten_ratio)", "share")],
                    "ratio",
                    threshold=0.5,
                ),
                Panel(
                    "Who teaches",
                    [
                        ("max(plaudit_trust_effective_people)", "equally heavy people"),
                        ("max(plaudit_trust_quarantined_people)", "in quarantine"),
                    ],
                ),
            ],
        ),
        (
            "Reward model",
            [
                Panel(
                    "Version",
                    [
                        ("max(plaudit_reward_model_version)", "newest"),
                        ("max(plaudit_reward_model_champion_version)", "in use"),
                    ],
                ),
                Panel(
                    "Held-out AUROC",
                    [('max by (head) (plaudit_reward_model_held_out_ratio{measure="auroc"})', "{{head}}")],
                    "ratio",
                ),
                Panel(
                    "Calibration error",
                    [("max by (head) (plaudit_reward_model_calibration_error_ratio)", "{{head}}")],
                    "ratio",
                    threshold=0.1,
                ),
                Panel(
                    "Drift since the training window",
                    [("max by (head) (plaudit_reward_model_drift_psi_nats)", "{{head}}")],
                    "nats",
                    threshold=0.25,
                ),
                Panel(
                    "Pairs ordered unlike the champion",
                    [("max(plaudit_reward_model_disagreement_ratio)", "share")],
                    "ratio",
                    threshold=0.3,
                ),
            ],
        ),
        (
            "Policy update",
            [
                Panel(
                    "Reward at the end of the newest training",
                    [("max by (objective) (plaudit_policy_update_reward_mean)", "{{objective}}")],
                ),
                Panel(
                    "KL",
                    [
                        ("max by (against) (plaudit_policy_update_kl_nats)", "training to {{against}}"),
                        ("max(plaudit_policy_champion_kl_to_base_nats)", "champion to base"),
                        ("max by (against) (plaudit_policy_kl_budget_nats)", "budget to {{against}}"),
                    ],
                    "nats",
                ),
                Panel(
                    "Refused by the gate, by check",
                    [("max by (check) (plaudit_policy_gate_refused_adapters)", "{{check}}")],
                    stacked=True,
                ),
            ],
        ),
    ],
)

EXPERIMENTS = Dashboard(
    "plaudit-experiments",
    "Plaudit: experiments",
    "What runs, what it has shown, what it waits for. The ledger is the record; this is for watching.",
    [
        (
            "The running experiment",
            [
                Panel("Share given the challenger", [("max(plaudit_experiment_challenger_share)", "share")], "ratio"),
                Panel(
                    "People counted",
                    [("max by (metric, arm) (plaudit_experiment_people)", "{{metric}} {{arm}}")],
                ),
                Panel(
                    "Evidence",
                    [("max by (metric, test) (plaudit_experiment_log_e_value_nats)", "{{metric}} {{test}}")],
                    "nats",
                    what="Logarithm of the e-value: 3.0 is 20 to 1, 4.6 is 100 to 1.",
                ),
                Panel(
                    "Sample ratio",
                    [
                        ("max(plaudit_experiment_sample_ratio_log_e_value_nats)", "evidence of a mismatch"),
                        ("max(plaudit_experiment_sample_ratio_boundary_nats)", "boundary"),
                    ],
                    "nats",
                ),
                Panel(
                    "Held because of",
                    [("max by (code) (plaudit_experiment_hold_active)", "{{code}}")],
                    "on",
                    "state-timeline",
                ),
                Panel(
                    "Held for",
                    [("time() - max(plaudit_experiment_held_since_timestamp_seconds > 0)", "the same reason")],
                    "seconds",
                ),
            ],
        ),
        (
            "Deciding",
            [
                Panel(
                    "Looks by what they came to",
                    [
                        (
                            "sum by (kind, code) (rate(plaudit_experiment_looks_total[$__rate_interval]))",
                            "{{kind}} {{code}}",
                        )
                    ],
                    "rate",
                ),
                Panel("Ledger", [("max by (kind) (plaudit_experiment_ledger_rows)", "{{kind}}")]),
                Panel("Age of the watermark", [("max(plaudit_experiment_watermark_age_seconds)", "age")], "seconds"),
                Panel(
                    "What blocks promotions",
                    [
                        ("max(plaudit_experiment_self_test_effects_missing)", "injected effects not found"),
                        ("max(plaudit_experiment_sentinel_alarms_waiting)", "sentinel alarms"),
                        ("max(plaudit_serving_tripped_arms_active)", "arms given up"),
                    ],
                    threshold=1,
                ),
            ],
        ),
    ],
)

"""Alerts on what people are served."""

from plaudit.monitoring.promql import Alert, Group

SERVING_GROUP = Group(
    "plaudit-serving",
    [
        Alert(
            "TargetDown",
            'up{job=~".*(plaudit|gateway|feedback-api|consumer|scheduler).*"} == 0',
            120.0,
            "critical",
            "{{ $labels.instance }} does not answer scrapes",
        ),
        # Targets that are found by a name are gone from the list, not down, once nothing stands behind the name.
        Alert(
            "NoGateway",
            'absent(up{job=~".*(plaudit|gateway).*"} == 1)',
            120.0,
            "critical",
            "No gateway answers scrapes: nobody is served, and nothing that is read from the store is watched",
        ),
        Alert(
            "ComponentNotReady",
            "min by (instance, component) (plaudit_component_ready) == 0",
            300.0,
            "warning",
            "{{ $labels.instance }}: {{ $labels.component }} is not ready; `/readyz` says why",
        ),
        Alert(
            "ChampionStale",
            "min by (instance) (plaudit_serving_champion_proven) == 0",
            300.0,
            "critical",
            "{{ $labels.instance }} answers with another adapter than the champion: it could not prove that one",
        ),
        Alert(
            "AdapterUnproven",
            "min by (instance, adapter) (plaudit_serving_adapter_proven) == 0",
            300.0,
            "warning",
            "{{ $labels.instance }} refused {{ $labels.adapter }}: it is not what was trained, or cannot be loaded",
        ),
        Alert(
            "RoutingStateStale",
            "max by (instance) (plaudit_serving_state_age_seconds) > seconds(60)",
            120.0,
            "critical",
            "{{ $labels.instance }} has not heard of the store for {{ $value | humanizeDuration }}: "
            "a rollback would not reach it",
        ),
        Alert(
            "InteractionsUnlogged",
            "sum(increase(plaudit_serving_interactions_unlogged_total[10m])) > 0",
            0.0,
            "critical",
            "{{ $value | humanize }} answers were computed and could not be logged: their callers got an error",
        ),
        Alert(
            "BreakerOpened",
            "max(plaudit_serving_tripped_arms_active) > 0",
            0.0,
            "warning",
            "A gateway has given up on an arm of the running experiment by itself",
        ),
        Alert(
            "GatewayQueueing",
            "max by (instance) (min_over_time(plaudit_serving_queue_rows[5m])) > 16",
            300.0,
            "warning",
            "{{ $labels.instance }}: at least {{ $value }} answers have waited for the engine for minutes",
        ),
    ],
)

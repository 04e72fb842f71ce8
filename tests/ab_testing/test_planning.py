"""Plans: arithmetic by hand, against simulated experiments, and from a store with people in it."""

import math
from dataclasses import replace

import pytest
from msgspec import structs

from ab_testing.planning import (
    Baseline,
    baseline_of,
    days_until,
    plan,
    promotion_days,
    ramp_at_start,
    ramp_days,
    stream_threshold,
    with_expected_rates,
)
from ab_testing.planning_repository import TrafficRepository, Window
from ab_testing.planning_simulation import simulate_rules
from infra.settings.ab_testing import AbTestingSettings, MetricSettings
from infra.statistics import InvalidStatisticsInput
from tests.ab_testing.world import World

LOVE = MetricSettings(name="love", objective="love", role="goal", missing="zero")
SAFE = MetricSettings(name="safe", objective="harm", role="guardrail", direction="lower", missing="zero", delta=0.1)
RULES = AbTestingSettings(metrics=(LOVE, SAFE), smallest_relative_effect=0.35, min_people_per_arm=10)
KNOWN = {"love": Baseline(1000, 1.0, 0.2, 0.16), "safe": Baseline(1000, 1.0, 0.05, 0.0475)}


def test_baselines_by_hand() -> None:
    found = baseline_of(LOVE, [1.0, 0.0, None, 0.0])
    assert (found.people, found.valued) == (4, 0.75)
    assert (found.mean, found.variance) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < 1 / 3 < found.high <= 1
    assert baseline_of(LOVE, []) == Baseline(0, 1.0, None, None)
    expected = baseline_of(LOVE.model_copy(update={"expected_rate": 0.2}), [None, 0.0, 0.0])
    assert (expected.mean, expected.variance) == (0.2, pytest.approx(0.16))


def test_expected_rates_are_what_was_seen_before() -> None:
    told = MetricSettings(name="told", objective="harm", role="guardrail", expected_rate=0.3)
    few = MetricSettings(name="few", objective="harm", role="guardrail")
    rules = RULES.model_copy(update={"metrics": (LOVE, SAFE, told, few)})
    known = KNOWN | {"told": KNOWN["love"], "few": Baseline(1000, 0.1, 0.2, 0.16)}
    assert [metric.expected_rate for metric in with_expected_rates(rules, known).metrics] == [0.2, 0.05, 0.3, None]
    for mean in (0.0, 4e-7, 1 - 4e-7):
        never = with_expected_rates(RULES, KNOWN | {"safe": Baseline(1000, 1.0, mean, 0.0)})
        assert never.metrics[1].expected_rate is None
        assert AbTestingSettings.model_validate(never.model_dump(mode="json")) == never, "what an experiment keeps"


def test_thresholds_along_the_stream() -> None:
    """sum of t^-1/2 for t to 365 is 36.78: 367.8 at the first, 10 times that at the hundredth, none after the last."""
    assert math.exp(stream_threshold(1, 0.1, 365)) == pytest.approx(367.8, rel=1e-3)
    assert math.exp(stream_threshold(100, 0.1, 365)) == pytest.approx(3678, rel=1e-3)
    assert stream_threshold(366, 0.1, 365) == math.inf


def test_days_along_the_ramp_by_hand() -> None:
    """1,000 people a day, half a day until a value is frozen. A tenth each: 200 counted a day, 100 of them needed take
    half a day, a day with the wait, in which 200 came; the other 1,800 come at 1,000 a day."""
    rules = AbTestingSettings(
        ramp_shares=(0.1, 0.5), min_people_per_phase=50, min_phase_seconds=0.0, min_runtime_seconds=0.0,
        metric_window_seconds=43_200.0, allowed_lateness_seconds=0.0,
    )  # fmt: skip
    assert days_until(2000, 1000, rules) == pytest.approx(1 + 1.8 + 0.5)
    assert days_until(100, 1000, rules) == pytest.approx(0.5 + 0.5)
    assert days_until(2000, 0, rules) == math.inf
    # A label that takes a day and a half more: 2 days a value, so 2.5 days of the first step, in which 500 came.
    assert days_until(2000, 1000, rules, 2 * 86_400.0) == pytest.approx(2.5 + 1.5 + 2)
    assert days_until(1, 1e9, AbTestingSettings(min_runtime_seconds=7 * 86_400.0)) == 7
    # Half of the people have a value of the metric with the fewest: the step takes a day and the half of waiting.
    assert days_until(2000, 1000, rules, valued=0.5) == pytest.approx(1.5 + 1.7 + 0.5)
    assert ramp_days(rules, 1000) == pytest.approx(1)
    # Of five candidates each has a tenth at most: the ramp is one step, and 200 a day count in each comparison.
    assert days_until(2000, 1000, rules, candidates=5) == pytest.approx(10 + 0.5)
    assert ramp_days(rules, 1000, candidates=5) == 0


def test_the_ramp_begins_where_the_traffic_lets_it_end_in_time() -> None:
    """Nothing known but the traffic, half a day until a value is frozen: the steps to a half take 10.5, 2.5, 1.5 and
    .9 days at 1,000 people a day, 15.4 in all, more than half of 28; from 5 % on 4.9."""
    rules = RULES.model_copy(
        update={"min_people_per_phase": 100, "metric_window_seconds": 43_200.0, "allowed_lateness_seconds": 0.0}
    )
    nothing = {name: Baseline(0, 1.0, None, None) for name in KNOWN}
    assert ramp_days(rules, 1000) == pytest.approx(15.4)
    assert ramp_at_start(rules, nothing, 1000) == (0.05, 0.1, 0.25, 0.5)
    assert ramp_at_start(rules, nothing, 3000) == rules.ramp_shares
    assert ramp_at_start(rules, nothing, 1) == (0.5,)
    assert ramp_at_start(rules, nothing, 0) == rules.ramp_shares, "nobody seen says nothing of who will come"
    assert ramp_at_start(rules.model_copy(update={"ramp_start": "first"}), nothing, 1) == rules.ramp_shares


@pytest.mark.parametrize("per_day", [150, 500, 1000, 3000])
def test_the_first_step_is_the_smallest_from_which_the_plan_ends_in_time(per_day: float) -> None:
    days, chosen = [], ramp_at_start(RULES, KNOWN, per_day, 5.0)
    for place in range(len(RULES.ramp_shares)):
        left = RULES.model_copy(update={"ramp_shares": RULES.ramp_shares[place:]})
        days.append(promotion_days(plan(left, KNOWN, per_day, 5.0)))
    fits = [left is not None and left <= 28 for left in days]
    assert any(fits)
    assert RULES.ramp_shares[fits.index(True)] == chosen[0]
    assert per_day > 500 or chosen[0] > 0.01


def test_a_plan_by_hand() -> None:
    """.2 -> .27: N = 6.1826 x 4 x .16 / .07^2 = 808. Rollback shares its error out over two metrics."""
    answers = {(a.metric, a.question): a for a in plan(RULES, KNOWN, 500, log_threshold=5.0)}
    love = answers["love", "better"]
    assert love.fixed == pytest.approx(807.5, abs=0.2)
    assert love.log_threshold == 5.0
    assert answers["love", "harm"].log_threshold == pytest.approx(math.log(40))
    assert answers["safe", "not worse"].log_threshold == pytest.approx(math.log(20))
    assert answers["safe", "not worse"].effect == 0.1
    assert love.half is not None
    assert love.most is not None
    assert love.half < love.most < RULES.max_people
    assert promotion_days(list(answers.values())) == love.days_most
    alone = plan(RULES, KNOWN, 500)[0]
    assert alone.half is not None
    assert alone.half < love.half


def test_half_of_the_people_valued_take_twice_as_long() -> None:
    half = KNOWN | {"love": replace(KNOWN["love"], valued=0.5)}
    rules = RULES.model_copy(update={"ramp_shares": (0.5,), "metric_window_seconds": 1e-6, "min_runtime_seconds": 0.0})
    whole, fewer = plan(rules, KNOWN, 10.0)[0], plan(rules, half, 10.0)[0]
    assert whole.most == fewer.most
    assert whole.days_most is not None
    assert fewer.days_most == pytest.approx(2 * whole.days_most, rel=0.01)


def test_the_unknown_is_told_as_unknown() -> None:
    answers = plan(RULES, KNOWN | {"safe": Baseline(0, 1.0, None, None)}, 500)
    assert [a.most is None for a in answers] == [False, False, True, True]
    assert promotion_days(answers) is None


def test_plans_agree_with_simulated_experiments() -> None:
    """Half of the simulated challengers are promoted by the people planned for half of them, within their noise; few
    equal ones are, and worse ones are rolled back, later for sharing the error with the guardrail."""
    found = plan(RULES, KNOWN, 500)[0]
    assert found.half is not None
    equal, better, worse = simulate_rules(RULES, LOVE, 0.2, people=round(found.half), runs=400)
    assert better.promoted == pytest.approx(0.5, abs=0.1)
    assert (better.rate, worse.rate) == (pytest.approx(0.27), pytest.approx(0.13))
    assert equal.promoted + equal.rolled_back <= 0.1
    assert worse.rolled_back > 0.25
    assert worse.promoted == 0


def test_a_guardrail_where_less_is_better() -> None:
    equal, better, worse = simulate_rules(RULES, SAFE, 0.15, people=1000, runs=60)
    assert (better.rate, worse.rate) == (pytest.approx(0.05), pytest.approx(0.25))
    assert equal.promoted > 0.8
    assert better.promoted == 1
    assert worse.rolled_back > 0.8
    assert worse.median_people is not None


def test_impossible_rates() -> None:
    with pytest.raises(InvalidStatisticsInput, match="rate"):
        simulate_rules(RULES, LOVE, 0.0, people=10)
    assert [outcome.truth for outcome in simulate_rules(RULES, LOVE, 0.9, people=10, runs=2)] == ["equal", "worse"]


def test_shown_metrics_use_the_two_arm_test() -> None:
    shown = LOVE.model_copy(update={"missing": "excluded"})
    rules = RULES.model_copy(update={"metrics": (shown,)})
    _equal, better, worse = simulate_rules(rules, shown, 0.3, people=1500, runs=60)
    assert better.promoted > 0.8
    assert worse.rolled_back > 0.8
    slower = plan(rules, {"love": KNOWN["love"]}, 500)[0]
    assert slower.most == pytest.approx(plan(RULES, KNOWN, 500)[0].most / 0.9, rel=1e-6)  # type: ignore[operator]


def test_traffic_is_read_from_the_store(world: World) -> None:
    """Champion's people only, as labels stand; silent people have a value where the metric says so."""
    world.start()
    now = world.clock.now()
    visits = [
        (structs.replace(made, arm="challenger-2") if made.arm == "challenger" and number % 2 else made, values)
        for number, (made, values) in enumerate(world.visits(60, challenger=1.0, control=0.0, harm_challenger=1.0))
    ]
    world.write(visits)
    first = next(interaction for interaction, _values in visits if interaction.arm == "control")
    world.feedback(first, "thumbs", now + 1)
    rate = MetricSettings(name="rate", objective="feedback", role="guardrail", missing="zero")
    with world.database.reading() as connection:
        traffic = TrafficRepository(connection, world.project, now - 1, now + 3600)
        windows = dict.fromkeys(("love", "safe", "rate"), Window(10.0, 40.0))
        (people, begun), values = traffic.people(), traffic.values((LOVE, SAFE, rate), 1000, windows)
        none = TrafficRepository(connection, world.project, now + 3600, now + 7200).people()
    champions = sum(interaction.arm == "control" for interaction, _values in visits)
    assert (people, none) == (60, (0, now + 7200))
    assert begun == visits[0][0].created_at
    assert len(values["love"]) == champions < 60
    assert set(values["love"]) == {0.0}
    assert sum(value or 0 for value in values["rate"]) == 1


def test_baselines_count_what_an_experiment_would_count(world: World) -> None:
    """Love that comes after the window is in no experiment's value, and whoever is not known for long enough has none:
    14 days of answers once made a rate of those of one day."""
    world.start()
    now = world.clock.now()
    visits = [
        (structs.replace(made, arm=None, experiment=None, user_key=f"user-{number % 3}", created_at=at), {"love": love})
        for number, ((made, _), (at, love)) in enumerate(
            zip(
                world.visits(6, challenger=0.0, control=0.0),
                [(now, 0.0), (now, 1.0), (now + 900, 1.0), (now + 20, 1.0), (now + 5, 0.0), (now + 950, 1.0)],
                strict=True,
            )
        )
    ]
    world.write(visits)
    back = MetricSettings(name="back", objective="return", role="guardrail")
    with world.database.reading() as connection:
        traffic = TrafficRepository(connection, world.project, now - 1, now + 1000)
        windows = {"love": Window(10.0, 200.0), "back": Window(10.0, 200.0, day_seconds=100.0, return_days=2)}
        values = traffic.values((LOVE, back), 1000, windows)
        late = Window(30.0, 200.0, day_seconds=10.0, return_days=2)
        later = traffic.values((LOVE, back), 1000, {"love": late, "back": late})
    assert values == {"love": [0.0, 1.0], "back": [0.0, 0.0]}
    assert later == {"love": [1.0, 1.0], "back": [1.0, 0.0]}

"""`plaudit ab-testing plan` and `simulate`: what the next experiment will take, and what the rules would decide."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from plaudit.commands.common import console, opened

if TYPE_CHECKING:
    from ab_testing.baselines import Traffic
    from ab_testing.planning import Answer, Baseline
    from infra.runtime import Context

Days = Annotated[float, typer.Option(min=0.01, help="How far back to look for traffic and values, in days.")]
Position = Annotated[
    int | None, typer.Option(min=0, help="Place in the year's stream of challengers, by default the next; 0: alone.")
]
Rate = Annotated[
    float | None,
    typer.Option(min=0.001, max=0.5, help="False discovery rate over the stream; by default ab_testing.fdr_rate."),
]
Horizon = Annotated[
    int | None,
    typer.Option(min=1, help="Challengers the stream's budget is meant for; by default ab_testing.fdr_horizon."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the room's group."""
    app.command()(plan)
    app.command()(simulate)


def plan(
    days: Days = 7.0,
    position: Position = None,
    false_discovery_rate: Rate = None,
    horizon: Horizon = None,
    people_per_day: Annotated[float, typer.Option(min=0, help="Instead of the traffic seen.")] = 0.0,
) -> None:
    """People, power and days of the next experiment for each metric, at the traffic seen."""
    from ab_testing.exposures import freeze_after_seconds
    from ab_testing.planning import plan as planned
    from ab_testing.planning import ramp_at_start

    with opened("ab-testing-plan") as context:
        seen = _traffic(context, days)
        per_day, known = people_per_day or seen.per_day, seen.baselines
        rules, freeze_after = context.settings.ab_testing, freeze_after_seconds(context.settings)
        place, threshold = _asked(context, position, false_discovery_rate, horizon)
        candidates = _candidates(context)
    ramp = ramp_at_start(rules, known, per_day * seen.drawn, threshold, freeze_after, candidates)
    left = rules.model_copy(update={"ramp_shares": ramp})
    answers = planned(left, known, per_day * seen.drawn, threshold, freeze_after, candidates)
    told = "given" if people_per_day else f"{seen.people} different people in {seen.days:.3g} days"
    console().print(f"{per_day:,.0f} people a day ({told}); challenger {place or 'alone'} of the stream")
    why = "" if ramp == rules.ramp_shares else f", as from {rules.ramp_shares[0]:.1%} it would not end in time"
    console().print(f"An experiment would begin with {ramp[0]:.1%} of people in each arm{why}.")
    _show(answers, known, rules.max_people, rules.max_runtime_seconds / 86_400.0)


def simulate(
    metric: Annotated[str, typer.Option(help="Name of the metric; by default the first goal.")] = "",
    rate: Annotated[float, typer.Option(min=0, max=1, help="The control's rate; by default what was seen.")] = 0.0,
    people: Annotated[int, typer.Option(min=10, help="Counted people of an experiment.")] = 5000,
    runs: Annotated[int, typer.Option(min=10, max=20_000, help="Experiments.")] = 300,
    days: Days = 7.0,
    position: Position = None,
    false_discovery_rate: Rate = None,
    horizon: Horizon = None,
) -> None:
    """Whole simulated experiments by the rules: what happens to challengers that are equal, better and worse."""
    from rich.table import Table

    from ab_testing.planning_simulation import simulate_rules

    with opened("ab-testing-simulate") as context:
        rules = context.settings.ab_testing
        names = {each.name: each for each in rules.metrics}
        if metric and metric not in names:
            raise typer.BadParameter(f"{metric!r} is none of {', '.join(names)}", param_hint="--metric")
        chosen = names[metric] if metric else next(each for each in rules.metrics if each.role == "goal")
        mean = rate or _traffic(context, days).baselines[chosen.name].mean or 0.0
        _place, threshold = _asked(context, position, false_discovery_rate, horizon)
    table = Table("challenger", "rate", "promoted", "rolled back", "median people", box=None, header_style="bold")
    for each in simulate_rules(rules, chosen, mean, people=people, runs=runs, log_threshold=threshold):
        shares = f"{each.promoted:.1%}", f"{each.rolled_back:.1%}"
        table.add_row(each.truth, f"{each.rate:.4g}", *shares, _number(each.median_people))
    console().print(f"{runs} experiments of {people:,} counted people, metric {chosen.name}, control {mean:.4g}")
    console().print(table)


def _traffic(context: "Context", days: float) -> "Traffic":
    """People seen, and every metric's baseline."""
    from ab_testing.baselines import traffic_of

    with context.database.reading() as connection:
        return traffic_of(context, connection, days)


def _candidates(context: "Context") -> int:
    """How many challengers the next experiment would try at once."""
    from ab_testing.repository import ExperimentRepository

    with context.database.reading() as connection:
        repository = ExperimentRepository(connection, context.settings.project)
        return max(1, len(repository.waiting_challengers(context.settings.ab_testing.max_candidates)))


def _asked(context: "Context", position: int | None, rate: float | None, horizon: int | None) -> tuple[int, float]:
    """Place in the stream (0: alone) and what it asks there, nats: by the settings and the ledger where not told."""
    from ab_testing.discoveries import stream_of
    from ab_testing.planning import stream_threshold
    from ab_testing.repository import ExperimentRepository

    rules = context.settings.ab_testing
    if position is None and rules.fdr_procedure != "none":
        with context.database.reading() as connection:
            ends = ExperimentRepository(connection, context.settings.project).ends()
        position = len(stream_of(ends, rules.fdr_since)) + 1
    if not position:
        return 0, -math.inf
    return position, stream_threshold(position, rate or rules.fdr_rate, horizon or rules.fdr_horizon)


def _show(answers: "list[Answer]", known: "dict[str, Baseline]", max_people: int, max_days: float) -> None:
    from rich.table import Table

    from ab_testing.planning import promotion_days

    table = Table(box=None, header_style="bold")
    for name in ("metric", "question", "mean", "effect", "e-value", "fixed N", "half by", "4 in 5 by", "days"):
        table.add_column(name, justify="left" if name in ("metric", "question") else "right", no_wrap=True)
    table.add_column(f"by {max_people:,}", justify="right", no_wrap=True)
    for a in answers:
        mean = _mean(known[a.metric])
        effect = "" if a.effect is None else f"{a.effect:.3g}"
        need = f"{math.exp(a.log_threshold):,.0f}" if a.log_threshold < 50 else "never"
        length = "" if a.days_half is None or a.days_most is None else f"{_days(a.days_half)} to {_days(a.days_most)}"
        power = "" if a.power is None else f"{a.power:.0%}"
        table.add_row(
            a.metric, a.question, mean, effect, need, _number(a.fixed), _number(a.half), _number(a.most), length, power
        )
    console().print(table)
    days = promotion_days(answers)
    if days is None:
        unknown = sorted({a.metric for a in answers if a.most is None})
        console().print(
            f"No duration: nothing is known of {', '.join(unknown)}. Set expected_rate, or wait for labels."
        )
    else:
        console().print(f"Four in five such challengers are promoted within about {_days(days)} days.")
        if days > max_days:
            console().print(
                f"That is longer than ab_testing.max_runtime_seconds allows ({_days(max_days)} days): most would stop "
                "undecided. Look for larger effects (ab_testing.smallest_relative_effect), or give it longer."
            )


def _mean(known: "Baseline") -> str:
    if known.mean is None:
        return "unknown"
    bounds = "expected" if known.low is None or known.high is None else f"{known.low:.3g} to {known.high:.3g}"
    return f"{known.mean:.3g} ({bounds})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _days(value: float) -> str:
    return "never" if math.isinf(value) else f"{value:.1f}" if value < 10 else f"{value:,.0f}"

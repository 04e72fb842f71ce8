"""Settings of the room `ab_testing`."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from infra.settings.base import Section


class MetricSettings(Section):
    """One number a person: what an experiment is judged by."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    """How the metric is called in the ledger, in reports and in metrics."""
    objective: str
    """Column of the label it is made from; `feedback`: whether the person gave any signal beyond being shown;
    `return`: whether the person was active again on days 1 to `ingest.validity.return_days` after the first day."""
    role: Literal["goal", "guardrail"]
    """A goal must be better for a promotion; a guardrail must be shown not to be worse."""
    direction: Literal["higher", "lower"] = "higher"
    """Which way is better."""
    aggregate: Literal["any", "mean", "sum", "ratio"] = "any"
    """`any`: 1 when any of the person's answers has the objective at 0.5 or more; `mean`: mean over the answers; `sum`:
    sum over the answers, at most `cap`, as a share of `cap`; `ratio`: sum over the answers of everybody divided by the
    sum of `denominator`, in which no person weighs more than `cap`."""
    denominator: str = "answers"
    """Of a ratio: `answers`, those that have the objective, or another objective (at least as large as the first)."""
    cap: float = Field(1.0, gt=0)
    """Of a sum or a ratio, fixed beforehand: the most that one person counts. What is estimated is the capped mean."""
    window_seconds: float | None = Field(None, gt=0)
    """Answers within this time of a person's first one count; by default `ab_testing.metric_window_seconds`."""
    missing: Literal["excluded", "zero"] = "excluded"
    """What a person counts as of whose answers none has the objective."""
    delta: float = Field(0.05, gt=0, lt=1)
    """Guardrails: the absolute worsening that must be ruled out before a promotion."""

    @model_validator(mode="after")
    def _ratio_of_everybody(self) -> "MetricSettings":
        if self.aggregate == "ratio" and self.missing != "zero":
            raise ValueError(f"metric {self.name!r} is a ratio: set missing = 'zero'; without answers one weighs 0")
        if self.aggregate in ("sum", "ratio") and self.objective in ("feedback", "return"):
            raise ValueError(f"metric {self.name!r}: {self.objective} is one number a person, not one an answer")
        return self


DEFAULT_METRICS: tuple[MetricSettings, ...] = (
    MetricSettings(name="love", objective="love", role="goal"),
    MetricSettings(name="harm", objective="harm", role="guardrail", direction="lower", missing="zero", delta=0.01),
    MetricSettings(name="feedback_rate", objective="feedback", role="guardrail", missing="zero", delta=0.05),
)


class AbTestingSettings(Section):
    """Experiments and automatic decisions."""

    metrics: tuple[MetricSettings, ...] = DEFAULT_METRICS
    """What experiments are judged by: at least one goal, and any number of guardrails."""
    alpha_promote: float = Field(0.05, gt=0, lt=0.5)
    """Chance that a challenger no better than the champion is ever promoted; shared out over the goals."""
    alpha_rollback: float = Field(0.05, gt=0, lt=0.5)
    """Chance that a challenger no worse than the champion is ever rolled back; shared out over all metrics."""
    smallest_relative_effect: float = Field(0.1, gt=0, le=2)
    """Relative change of a goal (0.1: one tenth) that is worth finding; the test is designed for it."""
    block_people: int = Field(10, ge=2)
    """People in one block of the test; 1 / block_people of the information is the price of a drifting base rate."""

    ramp_shares: tuple[float, ...] = (0.01, 0.05, 0.2, 0.5)
    """Share of people given the challenger, phase by phase; as large a share of the others is the counted control."""
    min_people_per_phase: int = Field(100, ge=1)
    """People with a frozen value, in each arm of the current phase, before the ramp grows."""
    min_phase_seconds: float = Field(3600.0, ge=0)
    """Shortest life of a phase."""
    min_people_per_arm: int = Field(200, ge=1)
    """People with a frozen value, in each arm, before a promotion."""
    min_runtime_seconds: float = Field(24 * 3600.0, ge=0)
    """Shortest experiment that may promote; a whole week covers the weekly cycle."""
    max_people: int = Field(200_000, ge=1)
    """Counted people after which an undecided experiment stops and the champion stays."""
    max_runtime_seconds: float = Field(28 * 24 * 3600.0, gt=0)
    """Length after which an undecided experiment stops and the champion stays."""

    metric_window_seconds: float = Field(24 * 3600.0, gt=0)
    """Answers a person is shown within this time of the first one count."""
    allowed_lateness_seconds: float = Field(600.0, ge=0)
    """Waited, after the last answer's label window and its own allowed lateness, before a person's value is frozen:
    time for the label job to run."""
    freshness_seconds: float = Field(300.0, gt=0)
    """A watermark older than this is stale: hold."""

    srm_alpha: float = Field(0.01, gt=0, lt=0.5)
    """Chance of a false alarm that people do not land in the arms as they should."""
    srm_concentration: float = Field(100.0, gt=0)
    """Prior people of the sample-ratio test; larger looks for smaller deviations, later."""
    max_flip_share: float = Field(0.01, ge=0, le=1)
    """Share of people seen in both arms above which nothing is promoted: assignment is not sticky."""

    covariate_days: float = Field(14.0, ge=0, le=365)
    """How far back before the first exposure a person's own earlier values are used to tell people apart; 0: not."""
    segments: tuple[Literal["daytime", "device", "turn"], ...] = ("daytime", "device")
    """What is known of a person before the first answer; people must land in the arms evenly in each part of it."""
    stability_top_people: int = Field(10, ge=0, le=1000)
    """An effect must keep its sign without so many of the most active people of either arm."""

    sentinel_people: int = Field(50_000, ge=0)
    """People in one test of the champion against itself; a new one begins after them, at most weekly. 0: never."""
    sentinel_alpha: float = Field(0.001, gt=0, lt=0.5)
    """Chance that one such test of the champion against itself raises a false alarm, which blocks promotions."""
    self_test_people: int = Field(2000, ge=100)
    """Simulated people by whom an injected effect must be found when a process begins to decide."""

    @field_validator("ramp_shares")
    @classmethod
    def _growing(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if not shares or any(not 0 < share <= 0.5 for share in shares) or list(shares) != sorted(set(shares)):
            raise ValueError(f"ramp_shares must grow strictly within (0, 0.5], got {shares}")
        return shares

    @model_validator(mode="after")
    def _judged_by_a_goal(self) -> "AbTestingSettings":
        names = [metric.name for metric in self.metrics]
        if len(set(names)) != len(names):
            raise ValueError(f"metrics must have different names, got {names}")
        if not any(metric.role == "goal" for metric in self.metrics):
            raise ValueError("metrics need at least one with role 'goal': without a goal nothing can be promoted")
        return self

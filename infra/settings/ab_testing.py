"""Settings of the room `ab_testing`."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from infra.settings.ab_routing import EligibilitySettings, HashMode
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
    expected_rate: float | None = Field(None, gt=0, lt=1)
    """The champion's mean, as known before the experiment. With it harm to a guardrail whose mean lies near 0 or 1 is
    found with fewer people (.95 -> .90: a seventh fewer); a wrong one costs people, never errors. Plans begin with it.
    """

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

    ramp_shares: tuple[float, ...] = (0.01, 0.05, 0.1, 0.25, 0.5)
    """Share of people given the challenger, phase by phase; as large a share of the others is the counted control. Of k
    candidates each gets as much, up to 0.5 / k. The last step, everybody, is the promotion."""
    ramp_start: Literal["traffic", "first"] = "traffic"
    """Where the ramp begins. `traffic`: at its smallest step from which, at the traffic seen, the plan ends before
    `max_runtime_seconds` (see `plaudit ab-testing plan`), so that few people do not mean no decision; `first`: always
    at the first step."""
    min_people_per_phase: int = Field(100, ge=1)
    """People with a frozen value of every metric, in each arm of the current phase, before the ramp grows."""
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

    stability_top_people: int = Field(10, ge=0, le=1000)
    """A promotion must keep its sign without this many of the most active people of either arm; 0: not asked."""
    stability_late_half: bool = True
    """A promotion must keep its sign among the later half of those exposed: what wears off is not promoted."""
    metric_silence_seconds: float = Field(6 * 3600.0, gt=0)
    """A metric of which an arm had no new value for so long, while time or the other arm went on, holds."""

    fdr_procedure: Literal["e_lond", "closed_e_lond", "e_lord", "none"] = "closed_e_lond"
    """How the error budget of a stream of challengers is spent (`infra.statistics.online_fdr`); `none`: each challenger
    is judged alone, and some are promoted for nothing as the year goes on."""
    fdr_rate: float = Field(0.1, gt=0, lt=1)
    """Expected share of promotions, among all of a stream's, that were of challengers no better than the champion."""
    fdr_horizon: int = Field(365, ge=1)
    """Challengers the budget is spread over, falling as 1 / sqrt(position); nothing is left for later ones."""
    fdr_since: float = Field(0.0, ge=0)
    """Unix seconds: challengers that began earlier no longer count. Moving it begins a new budget, by a person's
    word."""

    holdback_share: float = Field(0.05, ge=0, le=0.2)
    """Share of people who keep the champion before for some time after a promotion; as many counted people get the
    new one. 0: no holdback."""
    holdback_seconds: float = Field(14 * 24 * 3600.0, gt=0)
    """Length of a holdback."""
    alpha_holdback: float = Field(0.05, gt=0, lt=0.5)
    """Chance that a new champion no worse than the one before is ever demoted by a holdback; shared out over all
    metrics."""
    max_candidates: int = Field(1, ge=1, le=8)
    """Waiting challengers of one training cycle that are tried at the same time, each in an arm of its own."""

    metric_window_seconds: float = Field(24 * 3600.0, gt=0)
    """Answers a person is shown within this time of the first one count."""
    allowed_lateness_seconds: float = Field(600.0, ge=0)
    """Waited, after the last answer's label window and its own allowed lateness, before a person's value is frozen:
    time for the label job to run."""
    proof_patience_seconds: float = Field(600.0, ge=0)
    """After the start, how long a refusal of the challenger by some replica ends nothing while none has proven it:
    replicas try again every `serving.proof_retry_seconds`, and a refusal repeated later than this is final."""
    freshness_seconds: float = Field(300.0, gt=0)
    """A watermark older than this is stale: hold, and start nothing."""

    srm_alpha: float = Field(0.01, gt=0, lt=0.5)
    """Chance of a false alarm that people do not land in the arms as they should."""
    srm_concentration: float = Field(100.0, gt=0)
    """Prior people of the sample-ratio test; larger looks for smaller deviations, later."""
    max_flip_share: float = Field(0.01, ge=0, le=1)
    """Share of people seen in both arms above which nothing is promoted: assignment is not sticky."""

    holdout_share: float = Field(0.0, ge=0, lt=1)
    """Share of people who are never in an experiment: the top of the project's layer, always the champion."""
    hash_mode: HashMode = "own"
    """How people become buckets. `growthbook_v1`, `growthbook_v2`: as GrowthBook's SDKs with that `hashVersion`, over
    the caller's own user id; seed: the experiment's salt, namespace: the project."""
    eligibility: EligibilitySettings = EligibilitySettings()
    """Who may be in an experiment, by what the request says."""
    testers: dict[str, str] = Field(default_factory=dict)
    """User key -> arm (`challenger`, `control`, `challenger-2`) or loaded adapter that this person gets; never
    counted."""

    covariate_days: float = Field(14.0, ge=0, le=365)
    """How far back before the first exposure a person's own earlier values are used to tell people apart; 0: not."""
    segments: tuple[Literal["daytime", "device", "turn"], ...] = ("daytime", "device")
    """What is known of a person before the first answer; people must land in the arms evenly in each part of it."""
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
        if self.fdr_procedure == "e_lord" and self.max_candidates > 1:
            raise ValueError(
                "fdr_procedure 'e_lord' spends what earlier discoveries earn, and candidates tried at the same time do "
                f"not know of each other's: with max_candidates = {self.max_candidates} use 'closed_e_lond' or 'e_lond'"
            )
        if not any(metric.role == "goal" for metric in self.metrics):
            raise ValueError("metrics need at least one with role 'goal': without a goal nothing can be promoted")
        return self

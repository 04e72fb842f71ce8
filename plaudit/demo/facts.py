"""Everything the report says, gathered once from the store after the run and from what the people saw."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ab_testing.ledger import LedgerTampered
from ab_testing.report import EvidencePoint, ExperimentReport, experiment_report
from infra.contracts import PlauditError
from infra.db import Database
from infra.settings import Settings, config_hash
from plaudit.demo import repository
from plaudit.demo.charts import Series
from plaudit.demo.conductor import Story
from plaudit.demo.evaluation import RELEVANCE_MARGIN

LN10 = math.log(10)


@dataclass(frozen=True)
class Facts:
    """The finished run. `lost`: acknowledged answers and events that are not in the store; `doubled`: stored events or
    answers that nobody's client sent (each client keeps its ids through retries). `milestones`: what came first after
    how many seconds, see `repository.milestones`."""

    story: Story
    seconds: float
    peak_bytes: int
    finished_at: str
    config_hash: str
    funnel: dict[str, int]
    lost: int
    doubled: int
    reward_model: Any
    adapter: Any
    champion: str
    experiment: ExperimentReport | None
    chain_intact: bool
    decisions: Sequence[Any]
    jobs: Sequence[Any]
    candidates: Sequence[Any] = ()
    failure: str = ""
    milestones: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def closed(self) -> bool:
        """The loop closed: an adapter was promoted, rolled back or properly refused, and nothing was lost."""
        decided = self.story.outcome in ("promoted", "rolled back", "refused by the gate") or self.ended_undecided
        whole = self.lost == 0 and self.doubled == 0 and not self.story.rejected and not self.funnel.get("dead_letters")
        return decided and whole and not self.failure and self.chain_intact

    @property
    def ended_undecided(self) -> bool:
        """The experiment ended in order for want of evidence, not because something was wrong with it."""
        last = self.decisions[-1]["evidence"].get("code") if self.decisions else None
        return self.story.outcome == "stopped" and last in ("max_people", "max_runtime")

    @property
    def headline(self) -> str:
        """One sentence."""
        ref = f"{self.adapter['name']}@{self.adapter['version']}" if self.adapter is not None else "no adapter"
        if not self.closed:
            return f"The loop did not close: {self.failure or self.story.outcome}"
        words = {
            "promoted": f"{ref} was promoted: everybody is served by it now",
            "rolled back": f"{ref} was rolled back: the champion stays",
            "stopped": f"{ref} was not promoted: the experiment ended without enough evidence, the champion stays",
            "refused by the gate": f"{ref} was refused by the offline gate: no user ever saw it",
        }
        return words[self.story.outcome]

    @property
    def reasons(self) -> list[str]:
        """Why, in the system's own words."""
        last = [str(row["reason"]) for row in self.decisions if row["kind"] != "hold"][-1:]
        return [*self.story.reasons, *last]

    @property
    def evidence_series(self) -> list[Series]:
        """log10 e-values of the goal over people."""
        points = self._goal_points()
        return [
            Series("challenger better", [(p.people, p.log_e_better / LN10) for p in points], tone=3),
            Series("challenger worse", [(p.people, p.log_e_worse / LN10) for p in points], tone=2),
        ]

    @property
    def evidence_rules(self) -> list[tuple[float, str]]:
        """The boundaries the e-values are held against."""
        if self.experiment is None:
            return []
        goal = self.experiment.metrics[0]
        better = [(goal.boundary_better / LN10, "promote")] if goal.boundary_better is not None else []
        return [*better, (goal.boundary_worse / LN10, "roll back")]

    @property
    def effect_series(self) -> list[Series]:
        """Difference of the goal with its confidence sequence, wherever that is finite."""
        points = [p for p in self._goal_points() if math.isfinite(p.low) and math.isfinite(p.high)]
        # The first bands are wider than anything else in the picture.
        points = [p for p in points if p.high - p.low < 1.0]
        band = [(float(p.people), p.low, p.high) for p in points]
        return [Series("challenger minus control, 95 % at any look", [(p.people, p.effect) for p in points], band, 1)]

    @property
    def experiment_summary(self) -> str:
        """The experiment in one sentence."""
        points = self._goal_points()
        if self.experiment is None or not points:
            return "The experiment ended before anybody's value was frozen."
        last = points[-1]
        minutes = ((self.experiment.experiment.ended_at or last.at) - self.experiment.experiment.started_at) / 60
        return (
            f"{self.experiment.experiment.challenger} against {self.experiment.experiment.control}: "
            f"{last.people_challenger} and {last.people_control} people counted in {minutes:.1f} minutes; "
            f"{last.rate_challenger:.1%} against {last.rate_control:.1%} loved an answer; "
            f"e-value {math.exp(last.log_e_better):.1f}."
        )

    @property
    def evaluation_sentence(self) -> str:
        """What was asked of whom, and the margin stated beforehand."""
        found = self.story.evaluation
        if found is None:
            return ""
        return (
            f"{found.answers} answers to {found.prompts} prompts that were never used in training, judged by a panel "
            f"of people who never voted. Love rose: {'yes' if found.loved_more else 'not shown'}; relevance no worse "
            f"by more than {RELEVANCE_MARGIN} (stated beforehand): {'yes' if found.as_relevant else 'not shown'}."
        )

    def document(self) -> dict[str, Any]:
        """The facts as plain data, for `report.json`."""
        story = asdict(self.story)
        for name in ("acknowledged_events", "acknowledged_answers", "sent_events"):
            story[name] = len(story[name])
        return {
            "closed": self.closed,
            "headline": self.headline,
            "reasons": self.reasons,
            "seconds": round(self.seconds, 1),
            "peak_bytes": self.peak_bytes,
            "finished_at": self.finished_at,
            "config_hash": self.config_hash,
            "lost": self.lost,
            "doubled": self.doubled,
            "funnel": self.funnel,
            "milestones_seconds": self.milestones,
            "champion": self.champion,
            "story": story,
            "reward_model": dict(self.reward_model) if self.reward_model is not None else None,
            "adapter": _plain(self.adapter) if self.adapter else None,
            "candidates": [_plain(row) for row in self.candidates],
            "experiment": self.experiment_summary if self.experiment is not None else None,
            "decisions": [dict(row) for row in self.decisions],
            "jobs": [dict(row) for row in self.jobs],
        }

    def _goal_points(self) -> tuple[EvidencePoint, ...]:
        return self.experiment.metrics[0].points if self.experiment is not None else ()


def lead_of(rows: Sequence[Any]) -> Any:
    """Of a cycle's candidates the one that met people, or will; else the first. None of none."""
    met = [row for row in rows if row["state"] in ("champion", "retired", "rejected", "challenger")]
    return max(met, key=lambda row: float(row["gate"].get("gain", 0.0)), default=rows[0] if rows else None)


def _plain(row: Any) -> dict[str, Any]:
    return {key: value for key, value in dict(row).items() if key != "fingerprint"}


def gather(
    database: Database,
    settings: Settings,
    story: Story,
    failure: PlauditError | None,
    seconds: float,
    peak_bytes: int,
    finished_at: str,
) -> Facts:
    """Read the store once, after the system has stopped."""
    project = settings.project
    with database.reading() as connection:
        events = repository.stored_event_ids(connection, project)
        answers = repository.stored_response_ids(connection, project)
        candidates = repository.newest_cycle(connection, project)
        chain_intact, report = True, None
        try:
            report = experiment_report(connection, project)
        except LedgerTampered:
            chain_intact = False
        return Facts(
            story=story,
            seconds=seconds,
            peak_bytes=peak_bytes,
            finished_at=finished_at,
            config_hash=config_hash(settings),
            funnel=repository.funnel(connection, project),
            lost=len(set(story.acknowledged_events) - set(events))
            + len(set(story.acknowledged_answers) - set(answers)),
            doubled=len(set(events) - set(story.sent_events)) if story.sent_events else 0,
            reward_model=repository.newest_reward_model(connection, project),
            adapter=lead_of(candidates),
            champion=repository.champion(connection, project),
            experiment=report,
            chain_intact=chain_intact,
            decisions=repository.ledger(connection, project),
            jobs=repository.job_history(connection, project),
            candidates=candidates,
            failure=failure.message if failure is not None else "",
            milestones=repository.milestones(connection, project),
        )

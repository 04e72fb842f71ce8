"""The ledger come to again, from the frozen values and from itself: every e-value, threshold, verdict and hash.

For each row the people it counted are the first so many of their metric, for what was counted keeps its place for ever.
Their e-values are computed anew, the stream's threshold from the rows before, the rules asked again, and the whole row
made again, to be compared byte by byte. What came from outside is taken from the row, which the chain protects: proofs,
breakers, the champion, pauses, the sample ratio and the counts of exposed people, and a person's commands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy import Connection

from ab_testing.decisions import Situation, Verdict, decide, decide_among, passing
from ab_testing.discoveries import NO_STREAM, allowance, stream_of
from ab_testing.effects import row_evidence
from ab_testing.evidence import Evidence, MetricEvidence
from ab_testing.ledger import canonical_json, next_decision, verify_chain
from ab_testing.repository import ExperimentRepository
from ab_testing.standing import MetricReplay, rules_of
from ab_testing.values_repository import ValueRow, ValuesRepository
from infra.contracts import Arm, Decision, Experiment

COMMANDS = ("pause", "resume", "abort")


@dataclass
class Replay:
    """What came of it. `again`: rows that came out the same; `taken`: rows that rest on a person's word or on none of
    the frozen values; `differing`, `erased`: the others, named."""

    rows: int
    newest_hash: str
    again: int = 0
    taken: int = 0
    differing: list[str] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)


class _Erased(Exception):
    """Some of the people a row counted are gone."""


class People:
    """The frozen people of one experiment, counted again: a state for each candidate and metric that goes on from row
    to row, so that a whole ledger costs one pass over its people."""

    def __init__(self, experiment: Experiment, rows: Mapping[str, Sequence[ValueRow]]) -> None:
        self._experiment, self._rows = experiment, rows
        self._metrics = {metric.name: metric for metric in rules_of(experiment).metrics}
        self._counted: dict[tuple[Arm, str], MetricReplay] = {}

    def after(self, recorded: MetricEvidence, arm: Arm, phase: int) -> MetricEvidence:
        """The metric's evidence over as many people as the row counted. Raises _Erased when they are not all there."""
        name = recorded.name
        if (arm, name) not in self._counted:
            rows = [row for row in self._rows.get(name, ()) if row[0] in (arm, "control")]
            self._counted[arm, name] = MetricReplay(self._experiment, self._metrics[name], arm, rows)
        people = recorded.people_challenger + recorded.people_control
        again = self._counted[arm, name].after(people, phase)
        if (again.people_challenger, again.people_control) != (recorded.people_challenger, recorded.people_control):
            raise _Erased(f"of the {people} people of metric {name!r} some were erased")
        # Who was most active at the time is not kept, nor when a value that is none came: what the row says stands.
        return replace(
            again,
            effect_without_top=recorded.effect_without_top,
            counted_through=recorded.counted_through,
            broken=recorded.broken,
        )


def replay_ledger(connection: Connection, project: str) -> Replay:
    """Check the chain and every row of a project's ledger. Raises LedgerTampered when the chain itself is broken."""
    repository = ExperimentRepository(connection, project)
    rows = repository.decisions()
    found = Replay(len(rows), verify_chain(rows))
    people: dict[str, People] = {}
    experiments: dict[str, Experiment | None] = {}
    for place, row in enumerate(rows):
        name = row.experiment_id
        if "inputs" not in row.evidence:
            found.taken += 1
            continue
        if name not in experiments:
            experiments[name] = repository.experiment(name)
        experiment = experiments[name]
        if experiment is None:
            found.differing.append(f"decision {row.sequence}: its experiment {name} is not in the store")
            continue
        if name not in people:
            people[name] = People(experiment, ValuesRepository(connection, project, name).values())
        _compare(found, rows, place, experiment, people[name])
    return found


def _compare(found: Replay, rows: Sequence[Decision], place: int, experiment: Experiment, people: People) -> None:
    row = rows[place]
    try:
        again = decision_again(rows, place, experiment, people)
    except _Erased as gone:
        found.erased.append(f"decision {row.sequence} ({row.kind}): {gone}")
        return
    if again.hash == row.hash:
        found.again += 1
    else:
        found.differing.append(f"decision {row.sequence} ({row.kind}): {difference(row, again)}")


def decision_again(rows: Sequence[Decision], place: int, experiment: Experiment, people: People) -> Decision:
    """The row at `place`, made from the rows before it and the frozen values. Raises _Erased."""
    row, before = rows[place], rows[:place]
    known = experiment_at(experiment, row, before)
    documents = row.evidence.get("candidates") or {row.evidence["arm"]: row.evidence}
    assert isinstance(documents, dict)
    situations = {arm: situation_again(known, arm, documents[arm], row, before, people) for arm in known.remaining}
    verdicts = {arm: decide(situation) for arm, situation in situations.items()}
    passed = passing(verdicts)
    if row.kind in COMMANDS:
        verdict, passed = Verdict(row.kind, str(row.evidence["code"]), row.reason), []
    else:
        chosen = str(row.evidence["arm"])
        verdict = decide_among(verdicts, chosen if chosen in passed else next(iter(passed), None))
    return next_decision(
        before[-1] if before else None,
        project=row.project,
        experiment_id=row.experiment_id,
        kind=verdict.kind,
        reason=verdict.reason,
        evidence=row_evidence(known, situations, verdict, passed),
        config_hash=row.config_hash,
        watermark=row.watermark,
        decided_at=row.decided_at,
    )


def experiment_at(experiment: Experiment, row: Decision, before: Sequence[Decision]) -> Experiment:
    """The experiment as it stood when the row was written: its phases and the candidates that had left."""
    phase: Any = row.evidence["phase"]
    mine = [known for known in before if known.experiment_id == row.experiment_id]
    dropped = [str(known.evidence["arm"]) for known in mine if known.kind == "drop"]
    config = {**experiment.config, "dropped": dropped}
    return msgspec.structs.replace(experiment, phases=experiment.phases[: int(phase["index"]) + 1], config=config)


def situation_again(
    experiment: Experiment, arm: Arm, document: Any, row: Decision, before: Sequence[Decision], people: People
) -> Situation:
    """One candidate's situation: numbers from the frozen values, the rest as the row has it."""
    rules, inputs = rules_of(experiment), document["inputs"]
    place = list(experiment.arms).index(arm)
    challenge = experiment.kind == "challenge"
    return Situation(
        rules=rules,
        phase=experiment.phase,
        started_at=experiment.started_at,
        now=row.decided_at,
        watermark=row.watermark or None,
        proof=document["proof"],
        proof_detail=inputs["proof_detail"],
        champion_is_control=inputs["champion_is_control"],
        challenger_state=inputs["challenger_state"],
        evidence=evidence_again(experiment, arm, document, people),
        kind=experiment.kind,
        arm=arm,
        candidates=len(experiment.candidates),
        champion_is_challenger=inputs["champion_is_challenger"],
        trips=tuple(inputs["trips"]),
        control_trips=tuple(inputs["control_trips"]),
        paused_at=inputs["paused_at"],
        paused_seconds=inputs["paused_seconds"],
        veto=inputs["veto"],
        allowed=allowance(stream_of(before, rules.fdr_since), rules, place) if challenge else NO_STREAM,
    )


def evidence_again(experiment: Experiment, arm: Arm, document: Any, people: People) -> Evidence | None:
    """The evidence with every metric computed anew; None where the row has none. Raises _Erased."""
    if "metrics" not in document:
        return None
    recorded = msgspec.convert({name: document[name] for name in Evidence.__dataclass_fields__}, Evidence)
    metrics = [people.after(metric, arm, experiment.phase.index) for metric in recorded.metrics]
    return replace(recorded, metrics=tuple(metrics))


def difference(row: Decision, again: Decision) -> str:
    """Where two rows differ first, in words."""
    if (row.kind, row.reason) != (again.kind, again.reason):
        return f"would be {again.kind}: {again.reason}"
    for name in sorted({*row.evidence, *again.evidence}):
        one, other = row.evidence.get(name), again.evidence.get(name)
        if canonical_json(one) != canonical_json(other):
            return f"{name} would be {canonical_json(other)[:200]}, not {canonical_json(one)[:200]}"
    return "its hash would be another"

"""How experiments begin: the next challenge, and the holdback that follows a promotion."""

from hashlib import blake2b

from sqlalchemy import Connection

from ab_testing.decisions import Verdict
from ab_testing.discoveries import Allowance, allowance, stream_of
from ab_testing.effects import plain, record
from ab_testing.exposures import freeze_config
from ab_testing.off_policy import gate_advice
from ab_testing.repository import ExperimentRepository
from infra.contracts import Decision, Experiment, Phase
from infra.runtime import Context
from infra.settings.ab_testing import AbTestingSettings

WHOLE = (0.0, 1.0)


def start_challenge(
    context: Context, connection: Connection, watermark: float | None, rules: AbTestingSettings
) -> tuple[Verdict, Decision | None] | None:
    """Begin the next challenge, if anybody waits and the stream of challengers has something left to spend."""
    project, now = context.settings.project, context.clock.now()
    repository = ExperimentRepository(connection, project)
    champion = repository.champion()
    waiting = repository.waiting_challengers(rules.max_candidates)
    if champion is None or not waiting:
        return None
    allowed = allowance(stream_of(repository.ends(), rules.fdr_since), rules)
    if allowed.log_threshold == float("inf"):
        return _nothing_left(context, repository, allowed, watermark)
    experiment = new_experiment(
        context,
        repository,
        tuple(waiting),
        champion,
        now,
        rules,
        slot=challenge_slot(rules, bool(repository.running("holdback"))),
        share=min(rules.ramp_shares[0], 0.5 / len(waiting)),
    )
    tried = " and ".join(waiting)
    return start(context, repository, experiment, f"{tried} against {champion}", watermark, allowed)


def challenge_slot(rules: AbTestingSettings, held_back: bool) -> tuple[float, float]:
    """The part of all people a challenge draws on: what a holdback leaves."""
    return (2 * rules.holdback_share, 1.0) if held_back else WHOLE


def start_holdback(
    context: Context, repository: ExperimentRepository, promoted: str, before: str, watermark: float | None
) -> Decision | None:
    """After a promotion: half of a slot of its own keeps the champion before. Ends the holdback of the last promotion.

    The new champion is the challenger arm and answers everybody else; the one before is the control.
    """
    now, rules = context.clock.now(), context.settings.ab_testing
    for old in repository.running("holdback"):
        repository.end(old, "stopped", now)
        verdict = Verdict("stop", "superseded", f"{promoted} was promoted: this holdback has no champion to watch")
        evidence: dict[str, object] = {"code": "superseded", "experiment_kind": "holdback"}
        record(repository, context, old.experiment_id, verdict, evidence, watermark, now)
    if not rules.holdback_share:
        return None
    experiment = new_experiment(
        context,
        repository,
        (promoted,),
        before,
        now,
        rules,
        slot=(0.0, 2 * rules.holdback_share),
        share=0.5,
        kind="holdback",
    )
    return start(context, repository, experiment, f"{promoted} held against {before}", watermark, None)[1]


def start(
    context: Context,
    repository: ExperimentRepository,
    experiment: Experiment,
    what: str,
    watermark: float | None,
    allowed: Allowance | None,
) -> tuple[Verdict, Decision]:
    """Write the experiment and its first row."""
    repository.insert(experiment)
    verdict = Verdict("start", "start", f"{what} at share {experiment.phase.share:g}")
    evidence: dict[str, object] = {
        "code": "start",
        "experiment_kind": experiment.kind,
        "arms": experiment.arms,
        "salt": experiment.salt,
        "slot": list(experiment.slot),
        "propensity": dict.fromkeys(experiment.arms, experiment.phase.share),
        "config": experiment.config,
        "advice": {arm: gate_advice(repository.gate(ref)) for arm, ref in experiment.remaining.items()},
        **({} if allowed is None else {"discovery": allowed.document()}),
    }
    row = record(
        repository, context, experiment.experiment_id, verdict, plain(evidence), watermark, experiment.started_at
    )
    return verdict, row


def new_experiment(
    context: Context,
    repository: ExperimentRepository,
    tried: tuple[str, ...],
    control: str,
    now: float,
    rules: AbTestingSettings,
    *,
    slot: tuple[float, float] = WHOLE,
    share: float | None = None,
    kind: str = "challenge",
) -> Experiment:
    """The experiment that follows the ledger as it stands: id and salt depend on it, a repeated start is the same."""
    head = repository.last_decision()
    place = "\0".join([context.settings.project, *tried, head.hash if head else "", kind])
    salt = blake2b(place.encode(), digest_size=16).hexdigest()
    return Experiment(
        project=context.settings.project,
        experiment_id=f"exp-{salt[:16]}",
        challenger=tried[0],
        control=control,
        salt=salt,
        status="running",
        phases=(Phase(0, rules.ramp_shares[0] if share is None else share, now),),
        started_at=now,
        config={
            "rules": rules.model_dump(mode="json"),
            **freeze_config(context.settings),
        },
        kind="holdback" if kind == "holdback" else "challenge",
        others=tried[1:],
        slot=slot,
    )


def _nothing_left(
    context: Context, repository: ExperimentRepository, allowed: Allowance, watermark: float | None
) -> tuple[Verdict, Decision | None]:
    """Say once that the error budget is spent; challengers keep waiting."""
    code = "discoveries_exhausted"
    reason = (
        f"challenger {allowed.position} has no share of the error budget: raise ab_testing.fdr_horizon before a stream "
        "begins, or begin a new one with ab_testing.fdr_since"
    )
    verdict = Verdict("hold", code, reason)
    last = repository.last_decision("")
    if last is not None and last.evidence.get("code") == code and last.evidence.get("discovery") == allowed.document():
        return verdict, None
    evidence = plain({"code": code, "discovery": allowed.document()})
    return verdict, record(repository, context, "", verdict, evidence, watermark)

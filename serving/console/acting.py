"""Acts of the console: each through the service the command line uses, with a reason, in the ledger or the audit
trail under the name of who is signed in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from ab_testing.by_hand import promote_by_hand
from ab_testing.control import command
from ab_testing.effects import revert_champion
from infra.contracts import Decision
from infra.runtime import Context
from infra.runtime.pauses_repository import Pause
from infra.runtime.pausing import LOOP, PROMOTION, pause, resume
from ingest.access import audit
from ingest.dead_letters import drop_letter, replay_letter
from serving.console.errors import NothingHere, ReasonNeeded
from serving.console.sessions import Session

MAX_REASON_CHARACTERS = 500
FEWEST_REASON_CHARACTERS = 3

Work = Callable[[Context, Session, str, str], None]
"""Does it: (context, who, about what, why)."""


@dataclass(frozen=True)
class Act:
    """One control: `title` on its button, `told` in words what it would do now, `done` what is said afterwards."""

    title: str
    done: str
    told: Callable[[Mapping[str, Any], str], str]
    work: Work
    danger: bool = False
    back: str = "/controls"
    needs_reason: bool = True


def act(context: Context, session: Session, form: Mapping[str, str]) -> str:
    """Do what a checked form asks for; returns the page to go to. Raises NothingHere, ReasonNeeded, and what the
    services raise."""
    name, subject = form.get("act", ""), form.get("subject", "")[:128]
    wanted = ACTS.get(name)
    if wanted is None:
        raise NothingHere(f"there is no control {name[:40]!r}")
    reason = " ".join(form.get("reason", "").split())[:MAX_REASON_CHARACTERS]
    if wanted.needs_reason and len(reason) < FEWEST_REASON_CHARACTERS:
        raise ReasonNeeded("say why, in a few words: it stands in the record for ever", field="reason")
    wanted.work(context, session, subject, reason)
    return f"{wanted.back}?done={name}"


def _note(context: Context, session: Session, action: str, reason: str) -> Callable[[Connection, Decision], None]:
    """Enters a decision in the audit trail, in the transaction of the ledger's row."""

    def witness(connection: Connection, decision: Decision) -> None:
        detail = {"experiment": decision.experiment_id, "decision": decision.decision_id, "reason": reason}
        _record(context, connection, session, action, detail, decision.decided_at)

    return witness


def _note_pause(context: Context, session: Session, action: str, reason: str) -> Callable[[Connection, Pause], None]:
    def witness(connection: Connection, made: Pause) -> None:
        _record(context, connection, session, action, {"subject": made.subject, "reason": reason}, context.clock.now())

    return witness


def _record(
    context: Context, connection: Connection, session: Session, action: str, detail: dict[str, Any], at: float
) -> None:
    audit.record(connection, session.actor, action, detail, project=context.settings.project, at=at)


def _pausing(subject: str, action: str) -> Work:
    def work(context: Context, session: Session, _subject: str, reason: str) -> None:
        pause(context, subject, session.actor, reason, _note_pause(context, session, action, reason))

    return work


def _resuming(subject: str, action: str) -> Work:
    def work(context: Context, session: Session, _subject: str, reason: str) -> None:
        resume(context, subject, _note_pause(context, session, action, reason))

    return work


def _promote(context: Context, session: Session, subject: str, reason: str) -> None:
    promote_by_hand(context, subject, reason, _note(context, session, "champion.promote", reason))


def _roll_back(context: Context, session: Session, _subject: str, reason: str) -> None:
    revert_champion(context, reason, _note(context, session, "champion.revert", reason))


def _commanding(what: Any) -> Work:
    def work(context: Context, session: Session, subject: str, reason: str) -> None:
        witness = _note(context, session, f"experiment.{what}", reason)
        command(context, what, reason, subject or None, witness=witness)

    return work


def _replay(context: Context, session: Session, subject: str, _reason: str) -> None:
    replay_letter(context, subject, session.actor)


def _drop(context: Context, session: Session, subject: str, _reason: str) -> None:
    drop_letter(context, subject, session.actor)


def _says(text: str) -> Callable[[Mapping[str, Any], str], str]:
    return lambda _strip, subject: text.replace("{subject}", subject or "the running challenge")


def _told_roll_back(strip: Mapping[str, Any], _subject: str) -> str:
    if strip["champion"] == strip["before"]:
        return f"{strip['champion']} has no champion before it, so there is nothing to go back to."
    return (
        f"Everybody is served by {strip['before']} instead of {strip['champion']}, within a second. "
        f"{strip['champion']} becomes rejected, and a running experiment stops at its next look."
    )


def _told_promote(strip: Mapping[str, Any], subject: str) -> str:
    return (
        f"Everybody is served by {subject or 'the adapter you name'} instead of {strip['champion']} as soon as a "
        f"replica has proven it, without an experiment. {strip['champion']} stays loaded, and a running experiment "
        "stops at its next look."
    )


ACTS: dict[str, Act] = {
    "pause-loop": Act(
        "Pause the loop", "The loop is paused.",
        _says("Nothing is trained, no experiment begins and nothing is promoted until the loop is resumed. Answers, "
              "labels, harm checks and rollbacks go on."),
        _pausing(LOOP, "loop.paused"),
    ),
    "resume-loop": Act(
        "Resume the loop", "The loop goes on.", _says("Training, experiments and promotions go on."),
        _resuming(LOOP, "loop.resumed"),
    ),
    "pin": Act(
        "Pin the champion", "The champion is pinned.",
        _says("The champion stays what it is, whatever experiments find, until it is unpinned. Training and "
              "experiments go on, and harm still takes back."),
        _pausing(PROMOTION, "champion.pinned"),
    ),
    "unpin": Act(
        "Unpin the champion", "The champion is no longer pinned.", _says("Experiments may promote again."),
        _resuming(PROMOTION, "champion.unpinned"),
    ),
    "promote": Act(
        "Promote by hand", "The adapter is champion. It is served as soon as a replica has proven it.",
        _told_promote, _promote, danger=True,
    ),
    "roll-back": Act(
        "Roll back", "The champion before is served again.", _told_roll_back, _roll_back, danger=True,
    ),
    "pause-experiment": Act(
        "Pause the experiment", "The experiment is paused.",
        _says("Nobody's arm changes in {subject}: ramp, promotion and deadline wait; harm still takes back."),
        _commanding("pause"),
    ),
    "resume-experiment": Act(
        "Resume the experiment", "The experiment goes on.",
        _says("{subject} goes on; the time of the pause does not count."), _commanding("resume"),
    ),
    "abort-experiment": Act(
        "Abort the experiment", "The experiment was aborted; the champion stays.",
        _says("{subject} ends now, the champion stays and the challenger is rejected."), _commanding("abort"),
        danger=True,
    ),
    "replay-letter": Act(
        "Replay", "The letter was sent again.",
        _says("The letter's bytes are appended to the log again. If its cause remains it comes back as a new letter."),
        _replay, back="/feedback", needs_reason=False,
    ),
    "drop-letter": Act(
        "Drop", "The letter was dropped.", _says("The letter is marked as dropped: nobody will send it again."),
        _drop, back="/feedback", needs_reason=False,
    ),
}  # fmt: skip
"""By the name in the form."""

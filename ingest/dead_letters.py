"""Dead letters for the command line and the console: list, show, send again, drop. Nothing is deleted: letters change
their status."""

from infra.contracts import PlauditError
from infra.event_log import Record
from infra.runtime import Context
from ingest.access import audit
from ingest.codec import FEEDBACK_CODEC, INTERACTION_CODEC, WHOLE_RECORD, DeadLetter
from ingest.log_repository import LogRepository
from ingest.topics import interactions_topic


class DeadLetterNotFound(PlauditError):
    """No such letter."""

    code = "dead_letter_not_found"
    status = 404


class DeadLetterNotOpen(PlauditError):
    """The letter was replayed or dropped before."""

    code = "dead_letter_not_open"
    status = 409


def list_letters(
    context: Context, status: str | None = "open", reason: str | None = None, limit: int = 100
) -> list[tuple[DeadLetter, str]]:
    """Letters of this project, and of none that could be read, with their status (open, replayed, dropped), oldest
    first. `status` None: all."""
    with context.database.reading() as connection:
        return LogRepository(connection).letters(context.settings.project, status, reason, limit)


def show_letter(context: Context, letter_id: str) -> tuple[DeadLetter, str]:
    """One letter with its status. Raises DeadLetterNotFound."""
    with context.database.reading() as connection:
        found = LogRepository(connection).letter(letter_id)
    if found is None:
        raise DeadLetterNotFound(f"no dead letter {letter_id!r}; list them first", field="letter_id")
    return found


def replay_letter(context: Context, letter_id: str, actor: str = "") -> None:
    """Append the letter's bytes to its topic and partition again, then mark it replayed.

    For letters whose cause is gone: a newer version of the code reads them, or a store's limit was raised. One whose
    cause remains comes back as a new letter. Raises DeadLetterNotFound, DeadLetterNotOpen, EventLogUnavailable. After a
    crash between the two steps it may be sent twice, which does no harm.
    """
    letter = _open_letter(context, letter_id)
    codec = INTERACTION_CODEC if letter.topic == interactions_topic(context.settings) else FEEDBACK_CODEC
    value = letter.raw if letter.position == WHOLE_RECORD else codec.wrap(letter.raw)
    record = Record(key=letter.letter_id.encode(), value=value, partition=letter.partition)
    context.event_log.append(letter.topic, [record]).result(context.settings.event_log.append_timeout_seconds + 1)
    _set_status(context, letter_id, "replayed", actor)


def drop_letter(context: Context, letter_id: str, actor: str = "") -> None:
    """Mark a letter as dropped: nobody will send it again. Raises DeadLetterNotFound, DeadLetterNotOpen."""
    _open_letter(context, letter_id)
    _set_status(context, letter_id, "dropped", actor)


def _open_letter(context: Context, letter_id: str) -> DeadLetter:
    letter, status = show_letter(context, letter_id)
    if status != "open":
        raise DeadLetterNotOpen(f"dead letter {letter_id} is {status} already", field="letter_id")
    return letter


def _set_status(context: Context, letter_id: str, status: str, actor: str) -> None:
    with context.database.transaction() as connection:
        LogRepository(connection).set_letter_status(letter_id, status)
        audit.record(
            connection,
            actor or audit.operator(),
            f"dead_letter.{status}",
            {"letter_id": letter_id},
            project=context.settings.project,
            at=context.clock.now(),
        )

"""Interactions that were produced elsewhere: from the wire to the contract."""

import uuid

from infra.contracts import Answer, Interaction, new_response_id, user_key_of
from ingest.rules import MAX_CHOICE, Problem, id_problem
from ingest.wire import MAX_USER_CHARACTERS, Rejection, WireInteraction, read_time

ROLES = ("system", "user", "assistant")


def to_interaction(wire: WireInteraction, project: str, secret: bytes, received_at: float) -> Interaction | Rejection:
    """A valid import as it goes onto the log, `source` imported; the raw user ends here.

    Without `created_at` it was made when it arrived, and never later than that. Without `conversation_id` it is a
    conversation of its own.
    """
    created = read_time("created_at", wire.created_at)
    problem = created if isinstance(created, Problem) else _problem(wire)
    if problem is not None or isinstance(created, Problem):
        assert problem is not None
        return Rejection(None if wire.response_id is None else wire.response_id[:128], problem)
    response_id = wire.response_id or new_response_id()
    return Interaction(
        project=project,
        response_id=response_id,
        conversation_id=wire.conversation_id or response_id,
        created_at=received_at if created is None else min(created, received_at),
        messages=tuple(wire.messages),
        answers=tuple(Answer(choice, text, "stop") for choice, text in enumerate(wire.answers)),
        user_key=user_key_of(wire.user, secret) if wire.user else None,
        model=wire.model,
        source="imported",
    )


def _problem(wire: WireInteraction) -> Problem | None:
    for field in ("response_id", "conversation_id"):
        value = getattr(wire, field)
        if value is not None and (problem := id_problem(field, value)) is not None:
            return problem
    if wire.response_id is not None and is_ours(wire.response_id):
        return Problem(
            "invalid_value",
            f"response_id {wire.response_id!r} has the form of this gateway's own ids, which an import could displace: "
            "leave it out, or put a prefix of your own before it",
            "response_id",
        )
    if wire.user is not None and len(wire.user) > MAX_USER_CHARACTERS:
        return Problem("invalid_value", f"user has {len(wire.user)} characters; at most {MAX_USER_CHARACTERS}", "user")
    if len(wire.model) > 128:
        return Problem("invalid_value", f"model has {len(wire.model)} characters; at most 128", "model")
    return _messages_problem(wire) or _answers_problem(wire)


def is_ours(response_id: str) -> bool:
    """Whether an id looks as if our gateway had made it: `chatcmpl-` and a UUIDv7."""
    try:
        return response_id.startswith("chatcmpl-") and uuid.UUID(response_id[9:]).version == 7
    except ValueError:
        return False


def _messages_problem(wire: WireInteraction) -> Problem | None:
    for index, message in enumerate(wire.messages):
        if message.role not in ROLES:
            field = f"messages[{index}].role"
            return Problem("invalid_value", f"{field} is {message.role[:40]!r}; one of {', '.join(ROLES)}", field)
    if not any(message.role == "user" for message in wire.messages):
        return Problem("missing_field", "messages has no message of role user: there is nothing to answer", "messages")
    return None


def _answers_problem(wire: WireInteraction) -> Problem | None:
    if not 1 <= len(wire.answers) <= MAX_CHOICE + 1:
        return Problem("invalid_value", f"answers has {len(wire.answers)} items; give 1 to {MAX_CHOICE + 1}", "answers")
    return None

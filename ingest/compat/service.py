"""Requests of other products as feedback events: which answer, which person, which signals.

Ids are kept as given. A score or metric whose name the table `ingest.compat.metrics` does not know is refused with the
reason, and kept as a dead letter. Every request makes events of its own: of what one person says of one answer and
signal, what arrives last holds, as with Langfuse itself, and the same request sent again changes nothing.
"""

from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool

from infra.contracts import FeedbackEvent, PlauditError, Signal, user_key_of, uuid7
from infra.settings import user_secrets
from ingest.compat.ids import event_id_range, new_event_id
from ingest.compat.meaning import Said, meaning
from ingest.compat.repository import CompatRepository, Spoken
from ingest.compat.wire import LangfuseScore, TensorZeroFeedback
from ingest.rules import Problem, check, id_problem
from ingest.service import IngestService
from ingest.strangers import event_document
from ingest.wire import MAX_USER_CHARACTERS, Rejection

_VOTE: tuple[Signal, ...] = ("like", "dislike")


class NotUnderstood(PlauditError):
    """The request says something that has no meaning here."""

    code = "not_understood"
    status = 400


class UnknownMetric(PlauditError):
    """No meaning is set for a metric or score of that name."""

    code = "unknown_metric"
    status = 404


class UnknownScore(PlauditError):
    """No event of that score is in the store."""

    code = "unknown_score"
    status = 404


class _Statement(msgspec.Struct, frozen=True):
    """What a request says, in words of neither product. `caller_id`: by which the caller may take it back."""

    product: str
    name: str
    value: Any
    response_id: str
    user: str | None = None
    caller_id: str | None = None
    comment: str | None = None
    keeping: bool = True


class CompatDoor:
    """One a process."""

    def __init__(self, service: IngestService) -> None:
        self._service = service
        self._context = service.context
        self._project = service.context.settings.project
        self._settings = service.context.settings.ingest.compat
        self._secrets = user_secrets(service.context.settings)

    async def tensorzero(self, request: TensorZeroFeedback) -> str:
        """The feedback id, once everything is durable. Raises NotUnderstood, UnknownMetric, and as `accept_events`."""
        statement = _Statement(
            product="tensorzero",
            name=request.metric_name,
            value=request.value,
            response_id=await self._inference(request),
            user=request.tags.get(self._settings.tensorzero_user_tag),
            keeping=not request.dryrun,
        )
        events = await self._events(statement)
        if not request.dryrun:
            await self._accept(events)
        return events[0].event_id

    async def langfuse(self, score: LangfuseScore, *, keeping: bool = True) -> str:
        """The score's id, once everything is durable. `keeping`: of a name without a meaning a dead letter is kept.
        Raises NotUnderstood, UnknownMetric, and as `accept_events`."""
        statement = self._score(score, keeping)
        await self._accept(await self._events(statement))
        return statement.caller_id or ""

    async def forget(self, score_id: str) -> int:
        """Withdraw what was said under a score's id; returns the number of signals. Raises UnknownScore."""
        found = await run_in_threadpool(self._spoken, score_id)
        if not found:
            raise UnknownScore(
                f"no score {score_id[:80]!r} is in the store: it is there about a second after it was accepted"
            )
        # A vote may have been turned a moment ago, of which the store does not know yet: both of its sides go.
        sides = [one._replace(signal=side) for one in found if one.signal in _VOTE for side in _VOTE]
        now = self._context.clock.now()
        await self._accept(
            [
                FeedbackEvent(
                    event_id=new_event_id(self._service.secret, "langfuse", self._project, score_id),
                    project=self._project,
                    response_id=one.response_id,
                    choice=one.choice,
                    signal=one.signal,
                    received_at=now,
                    derived_at=now,
                    operation="withdraw",
                    user_key=one.user_key,
                    source="langfuse",
                )
                for one in dict.fromkeys([*found, *sides])
            ]
        )
        return len(found)

    def _spoken(self, score_id: str) -> list[Spoken]:
        # Scores given before the secret was rotated bear ids made under a former one.
        ranges = [event_id_range(secret, "langfuse", self._project, score_id) for secret in self._secrets]
        with self._context.database.reading() as connection:
            return CompatRepository(connection, self._project).spoken(ranges)

    async def _inference(self, request: TensorZeroFeedback) -> str:
        if request.inference_id is None or request.episode_id is not None:
            if request.episode_id is not None and request.inference_id is None:
                if not request.dryrun:
                    user = request.tags.get(self._settings.tensorzero_user_tag)
                    said = _Statement("tensorzero", request.metric_name, request.value, request.episode_id, user)
                    await self._keep(said, episode=True)
                text = "episode_id names a conversation, and feedback here is about one answer: send its inference_id"
                raise NotUnderstood(f"{text}; it is kept as a dead letter", field="episode_id")
            raise NotUnderstood("exactly one of inference_id or episode_id must be there", field="inference_id")
        return self._settings.tensorzero_id_prefix + request.inference_id

    def _score(self, score: LangfuseScore, keeping: bool) -> _Statement:
        response_id = score.trace_id
        if self._settings.langfuse_answer == "observation" and score.observation_id:
            response_id = score.observation_id
        if not response_id:
            raise NotUnderstood("traceId is missing: a score here is about one answer, not a session", field="traceId")
        user = (score.metadata or {}).get(self._settings.langfuse_user_field)
        value = bool(score.value) if score.data_type == "BOOLEAN" and score.value in (0, 1) else score.value
        return _Statement(
            product="langfuse",
            name=score.name,
            value=value,
            response_id=response_id,
            user=user if isinstance(user, str) else None,
            caller_id=score.id or str(uuid7()),
            comment=score.comment,
            keeping=keeping,
        )

    async def _events(self, statement: _Statement) -> list[FeedbackEvent]:
        metric = self._settings.metrics.get(statement.name)
        problem = id_problem("response_id", statement.response_id)
        if problem is None and len(statement.user or "") > MAX_USER_CHARACTERS:
            problem = Problem("invalid_value", f"the user's id has more than {MAX_USER_CHARACTERS} characters", "user")
        if problem is not None:
            raise NotUnderstood(problem.message, code=problem.code, field=problem.field)
        if metric is None:
            if statement.keeping:
                await self._keep(statement)
            raise UnknownMetric(
                f"{statement.name[:80]!r} has no meaning here; set ingest.compat.metrics.<name>.signal. "
                f"It is {'' if statement.keeping else 'not '}kept as a dead letter",
                field="name",
            )
        said = meaning(statement.name, metric, statement.value)
        if isinstance(said, Problem):
            raise NotUnderstood(said.message, code=said.code, field=said.field)
        if statement.comment and metric.signal != "comment":
            said = [*said, Said("comment", text=statement.comment)]
        events = [self._event_of(one, statement) for one in said]
        wrong = next((found for found in map(check, events) if found is not None), None)
        if wrong is not None:
            raise NotUnderstood(wrong.message, code=wrong.code, field=wrong.field)
        return events

    def _event_of(self, said: Said, statement: _Statement) -> FeedbackEvent:
        caller_id = statement.caller_id
        secret, now = self._service.secret, self._context.clock.now()
        return FeedbackEvent(
            event_id=new_event_id(secret, statement.product, self._project, caller_id) if caller_id else str(uuid7()),
            project=self._project,
            response_id=statement.response_id,
            signal=said.signal,
            received_at=now,
            derived_at=now,
            operation=said.operation,
            value=said.value,
            text=said.text,
            user_key=user_key_of(statement.user, secret) if statement.user else None,
            source=statement.product,
        )

    async def _accept(self, events: list[FeedbackEvent]) -> None:
        result = await self._service.accept_events(events)
        refused = next((one.error for one in result.results if one.error is not None), None)
        if refused is not None:
            raise NotUnderstood(refused.message, code=refused.code, field=refused.field)

    async def _keep(self, said: _Statement, *, episode: bool = False) -> None:
        """Onto the log as what is refused and kept: see `ingest.strangers`. Raises as `accept_events` does."""
        # The product's name before it: a metric may be called as one of our signals and mean something else.
        signal, secret = f"{said.product}:{said.name}", self._service.secret
        raw = msgspec.json.encode(
            {"event_id": str(uuid7()), "signal": signal, "value": said.value, "user": said.user or None}
        )
        given = {"response_id": said.response_id, "source": said.product, "episode": episode}
        document = event_document(raw, self._project, secret, self._context.clock.now(), given)
        if document is not None:
            refusal = Rejection(
                None, Problem(UnknownMetric.code, f"{signal[:80]!r} has no meaning here"), None, document
            )
            await self._service.accept_events([refusal])

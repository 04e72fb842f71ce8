"""One turn of the real system on a recorded window: log, consumer, labels, trust, reward model, policy, gate,
experiment. Only the clock is moved by hand; people of the experiment meet the gateway itself."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from infra.contracts import Answer, Interaction, ManualClock, PlauditError, stable_hash, user_key_of
from infra.event_log import Record
from infra.models.loading import LoadedModel
from infra.runtime import Context, open_context
from infra.runtime.running import run_job
from infra.settings import user_secret
from ingest.codec import INTERACTION_CODEC
from ingest.consumer import FeedbackConsumer
from ingest.service import IngestService
from ingest.topics import interactions_topic
from plaudit.demo import repository
from plaudit.jobs import job_named
from plaudit.people.judge import Judge
from serving.app import build_gateway
from tests.benchmarks.loop_arms import EXPERIMENT_PEOPLE, LATENESS_SECONDS, WINDOW_SECONDS, Arm, settings_of
from tests.benchmarks.loop_people import Shown, Town, honest, look
from tests.benchmarks.loop_window import DAYS, MAX_TOKENS, START, TEMPERATURE, Given, Window, messages

FIRST_VISITOR = 1_000_000
WAVE = 80
WAVE_SECONDS = WINDOW_SECONDS + LATENESS_SECONDS + 60.0
EVENTS_A_REQUEST = 500


class LoopFailed(PlauditError):
    """A job of the system failed, or it accepted less than it was sent."""

    code = "loop_failed"


@dataclass(frozen=True)
class Taught:
    """What came of one training. `folder`: the adapter's files; `passed`: whether the gate let it go on; `promoted`:
    whether the experiment gave it to everybody; `reasons`: why not."""

    adapter: str
    folder: str
    passed: bool
    promoted: bool
    reasons: tuple[str, ...]
    reward_model: dict[str, Any]
    experiment_people: int


def teach(
    arm: Arm,
    recorded: Window,
    corrupt: bool,
    prompts: Sequence[str],
    judge: Judge,
    base: LoadedModel,
    folder: Path,
    steps: int,
    tell: Callable[[str], None],
) -> Taught:
    """Run the loop once in `folder`. Raises LoopFailed."""
    town = recorded.people()
    settings = settings_of(arm, town.seed, folder, steps)
    clock = ManualClock(START + DAYS * 86400.0 + 7200.0)
    context = open_context(settings, clock)
    consumer = FeedbackConsumer(context)
    try:
        system = _System(context, clock, consumer, base, tell)
        system.bootstrap()
        system.publish([*recorded.answers, *(recorded.corrupted_answers if corrupt else [])])
        system.send([*recorded.events, *(recorded.corrupted_events if corrupt else [])])
        system.settle()
        for job in (*(["trust"] if arm.trust else []), "label", "reward-model", "policy-update"):
            system.job(job)
        return system.judged(arm, _Visitors(town, judge, prompts))
    finally:
        consumer.close()
        context.close()


class _Visitors:
    """The people who meet the experiment."""

    def __init__(self, town: Town, judge: Judge, prompts: Sequence[str]) -> None:
        self.town, self._judge, self._prompts = town, judge, prompts
        self.came = 0

    async def wave(self, client: httpx.AsyncClient, number: int, now: float) -> list[dict[str, Any]]:
        """`number` people ask once each; returns what they do with the answers."""
        people = range(FIRST_VISITOR + self.came, FIRST_VISITOR + self.came + number)
        self.came += number
        drawn = np.random.default_rng([self.town.seed, self.came, 6]).integers(len(self._prompts), size=number)
        asked = [self._prompts[int(i)] for i in drawn]
        replies = await asyncio.gather(*(self._ask(client, i, p) for i, p in zip(people, asked, strict=True)))
        texts = [reply["choices"][0]["message"]["content"] for reply in replies]
        finished = [reply["choices"][0]["finish_reason"] == "stop" for reply in replies]
        seen = look(self._judge, asked, texts, finished)
        events: list[dict[str, Any]] = []
        for place, (who, reply, text) in enumerate(zip(people, replies, texts, strict=True)):
            shown = Shown(reply["id"], text, seen.one(place), now)
            events += honest(self.town, who, shown, 1.0)[0].events
        return [{**one, "created_at": min(one["created_at"], now + 1.0)} for one in events]

    async def _ask(self, client: httpx.AsyncClient, who: int, prompt: str) -> dict[str, Any]:
        body = {
            "model": "plaudit",
            "user": self.town.who(who).name,
            "messages": [{"role": one.role, "content": one.content} for one in messages(prompt)],
            "max_tokens": MAX_TOKENS,
            "temperature": TEMPERATURE,
        }
        response = await client.post("/v1/chat/completions", json=body)
        if response.status_code != 200:
            raise LoopFailed(f"the gateway answered {response.status_code}: {response.text[:300]}")
        document: dict[str, Any] = response.json()
        return document


class _System:
    """The parts of one deployment, driven in order."""

    def __init__(
        self,
        context: Context,
        clock: ManualClock,
        consumer: FeedbackConsumer,
        base: LoadedModel,
        tell: Callable[[str], None],
    ) -> None:
        self._context, self._clock, self._consumer, self._base, self._tell = context, clock, consumer, base, tell
        self._project = context.settings.project

    def bootstrap(self) -> None:
        from ab_testing.service import bootstrap_state

        with self._context.database.transaction() as connection:
            bootstrap_state(connection, self._project, self._clock.now())

    def publish(self, given: Sequence[Given]) -> None:
        """Write the answers onto the log as the gateway does."""
        log, topic = self._context.event_log, interactions_topic(self._context.settings)
        log.ensure_topic(topic)
        partitions, secret = log.partitions(topic), user_secret(self._context.settings)
        records = []
        for one in given:
            interaction = Interaction(
                project=self._project,
                response_id=one.response_id,
                conversation_id=one.conversation_id,
                created_at=one.at,
                messages=messages(one.prompt),
                answers=(
                    Answer(
                        0,
                        one.text,
                        one.result.finish_reason,
                        one.result.token_ids,
                        one.result.logprobs_raw,
                        one.result.logprobs_sampled,
                    ),
                ),
                user_key=user_key_of(one.person, secret),
                model="plaudit",
                base_model_hash=self._base.base_model_hash,
                tokenizer_hash=self._base.tokenizer_hash,
                template_hash=self._base.template_hash,
            )
            value, key = INTERACTION_CODEC.encode([interaction]), one.response_id.encode()
            records.append(Record(key, value, stable_hash(one.response_id, partitions)))
        log.append(topic, records).result()
        self._consumer.drain()

    def send(self, events: Sequence[dict[str, Any]]) -> None:
        """Through the feedback API's own door, and into the store."""
        service, now = IngestService(self._context), self._clock.now()

        async def all_of_them() -> None:
            for start in range(0, len(events), EVENTS_A_REQUEST):
                some = [{**one, "sent_at": now} for one in events[start : start + EVENTS_A_REQUEST]]
                result = await service.accept_feedback(json.dumps({"events": some}).encode())
                _require_accepted(result, len(some))

        asyncio.run(all_of_them())
        self._consumer.drain()

    def settle(self) -> None:
        """Let what was received become old enough for trust to be estimated from it."""
        self._clock.advance(self._context.settings.trust.settle_seconds + 60.0)
        self._consumer.drain()

    def job(self, name: str) -> None:
        """Run a job once, here. Raises LoopFailed when it fails."""
        self._tell(name)
        code = run_job(self._context, job_named(name))
        with self._context.database.reading() as connection:
            run = repository.newest_run(connection, self._project, name)
        if code or run is None:
            raise LoopFailed(f"job {name} ended with {code}: {run['detail'] if run else 'no run'}")

    def judged(self, arm: Arm, visitors: _Visitors) -> Taught:
        """The verdicts on what was trained; an experiment where the gate let something pass."""
        with self._context.database.reading() as connection:
            cycle = repository.newest_cycle(connection, self._project)
            model = repository.newest_reward_model(connection, self._project)
        if not cycle:
            raise LoopFailed("no adapter was trained")
        reasons = [f"{row['name']}@{row['version']}: {why}" for row in cycle for why in row["gate"].get("reasons", [])]
        passed = [row for row in cycle if row["state"] != "refused"]
        chosen, promoted, people = cycle[0], False, 0
        if passed and arm.gate:
            challenger, status = asyncio.run(self._experiment(visitors))
            promoted, people = status == "promoted", visitors.came
            chosen = next((row for row in cycle if f"{row['name']}@{row['version']}" == challenger), chosen)
            reasons += [] if promoted else [f"experiment: {status}"]
        return Taught(
            adapter=f"{chosen['name']}@{chosen['version']}",
            folder=str(chosen["path"]),
            passed=bool(passed),
            promoted=promoted,
            reasons=tuple(reasons),
            reward_model=dict(model["metrics"]) if model is not None else {},
            experiment_people=people,
        )

    async def _experiment(self, visitors: _Visitors) -> tuple[str, str]:
        """(challenger, how it ended). People come in waves; after each, time passes, windows close, a look is taken."""
        app = build_gateway(self._context, loaded=self._base)
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://loop", timeout=600.0) as client:
                await self._look()
                while True:
                    with self._context.database.reading() as connection:
                        row = repository.newest_experiment(connection, self._project)
                    if row is None:
                        raise LoopFailed("the gate let a candidate pass and no experiment began")
                    if row["status"] != "running":
                        return str(row["challenger"]), str(row["status"])
                    await self._ready(client, str(row["challenger"]))
                    if visitors.came < EXPERIMENT_PEOPLE:
                        events = await visitors.wave(client, WAVE, self._clock.now())
                        self._tell(f"experiment: {visitors.came} people")
                        await asyncio.to_thread(self._clock.advance, 2.0)
                        await asyncio.to_thread(self.send, events)
                    await self._look()

    async def _look(self) -> None:
        """Time passes, what was logged is read, windows close, and the experiment is looked at."""
        self._clock.advance(WAVE_SECONDS)
        await asyncio.to_thread(self._consumer.drain)
        for name in ("label", "decide"):
            await asyncio.to_thread(self.job, name)

    async def _ready(self, client: httpx.AsyncClient, challenger: str) -> None:
        """Wait until the gateway has read the store anew and proven the challenger."""
        for _ in range(600):
            models = (await client.get("/v1/models")).json()
            ready = await client.get("/readyz")
            if ready.status_code == 200 and any(one["id"] == challenger for one in models["data"]):
                await asyncio.sleep(2 * self._context.settings.serving.refresh_every_seconds)
                return
            await asyncio.sleep(0.2)
        raise LoopFailed(f"{challenger} was not proven within two minutes: {ready.text[:300]}")


def _require_accepted(result: Any, sent: int) -> None:
    if result.accepted != sent:
        raise LoopFailed(f"{result.accepted} of {sent} events were accepted: {result.encode()[:500]!r}")

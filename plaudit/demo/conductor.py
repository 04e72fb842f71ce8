"""One full turn of the loop, watched from outside: people visit, the system learns by itself, people judge."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from infra.contracts import PlauditError
from infra.db import Database
from plaudit.demo import profile, prompts, repository
from plaudit.demo.evaluation import Evaluation, answer_all, compare
from plaudit.demo.options import DemoOptions
from plaudit.demo.process import UpProcess
from plaudit.people.client import AppClient
from plaudit.people.judge import Judge
from plaudit.people.visits import Town, VisitPlan, WaveTally


class LoopDidNotClose(PlauditError):
    """The system reached neither a promotion nor a proper refusal in the time allowed."""

    code = "loop_did_not_close"


@dataclass
class Story:
    """What happened, for the report."""

    options: DemoOptions
    phases: list[tuple[str, float]] = field(default_factory=list)
    before: WaveTally = field(default_factory=WaveTally)
    experiment: WaveTally = field(default_factory=WaveTally)
    evaluation: Evaluation | None = None
    outcome: str = "unfinished"
    reasons: list[str] = field(default_factory=list)
    restarts: int = 0
    retries: int = 0
    acknowledged_events: list[str] = field(default_factory=list)
    acknowledged_answers: list[str] = field(default_factory=list)
    sent_events: list[str] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)


class Conductor:
    """Plays one turn. The system under it is a separate process reached by HTTP; the store is only read."""

    def __init__(
        self, options: DemoOptions, up: UpProcess, database: Database, project: str, progress: Progress
    ) -> None:
        self.story = Story(options)
        self._options, self._up, self._database, self._project = options, up, database, project
        self._progress = progress
        self._ending = False

    async def play(self) -> Story:
        """Run all phases. Raises LoopDidNotClose or ServiceGone; the story tells how far it came."""
        known, unseen = prompts.split()
        judge = await asyncio.to_thread(_judge)
        async with AppClient(self._up.url) as client:
            guard = asyncio.create_task(self._keep_alive())
            try:
                town = Town(client, judge)
                await self._phase("people meet the base model", self._before(town, known))
                await self._phase(
                    "the reward model learns", self._trained("reward-model", repository.newest_reward_model)
                )
                self._require_champion()
                await self._phase("the policy learns", self._trained("policy-update", _gated))
                if self._refused():
                    return self.story
                await self._phase("the experiment", self._experiment(town, known))
                await self._phase("people judge unseen prompts", self._evaluate(client, judge, unseen))
            finally:
                guard.cancel()
                self.story.retries = client.receipts.retries
                self.story.acknowledged_events = client.receipts.events
                self.story.acknowledged_answers = client.receipts.answers
                self.story.sent_events = client.receipts.sent
                self.story.rejected = client.receipts.rejected
        return self.story

    async def _phase(self, name: str, work: Any) -> None:
        started = time.monotonic()
        try:
            await work
        finally:
            self.story.phases.append((name, time.monotonic() - started))

    async def _before(self, town: Town, known: list[str]) -> None:
        bar = self._bar("people meet the base model", self._options.people_before)
        plan = self._plan(0, self._options.people_before, known)
        self.story.before = await town.wave(plan, lambda tally: self._progress.update(bar, completed=tally.visits))

    async def _trained(self, job: str, finished: Callable[[Any, str], Any]) -> None:
        bar = self._bar(f"{job}: waiting for labels", 100)
        deadline = time.monotonic() + self._options.training_patience_seconds
        while time.monotonic() < deadline:
            with self._database.reading() as connection:
                row, run = finished(connection, self._project), repository.newest_run(connection, self._project, job)
            if row is not None:
                self._progress.update(bar, completed=100, description=f"{job}: done")
                return
            if run is not None:
                stage = run["progress"] or {}
                text = stage.get("text") or run["detail"] or run["status"]
                fraction = float(stage.get("fraction", 0.0)) if run["status"] == "running" else 0.0
                self._progress.update(bar, completed=100 * fraction, description=f"{job}: {text}"[:70])
            await asyncio.sleep(0.5)
        detail = f"{run['status']}: {run['detail']}" if run is not None else "it never ran"
        raise LoopDidNotClose(f"job {job} brought nothing within its time; its last run {detail}")

    def _require_champion(self) -> None:
        """Without a reward model that beats chance no policy is trained: nothing is left to wait for."""
        with self._database.reading() as connection:
            row = repository.newest_reward_model(connection, self._project)
        if row is not None and row["state"] != "champion":
            why = row["metrics"].get("champion", {}).get("reason", "")
            raise LoopDidNotClose(f"{row['name']}@{row['version']} is not good enough to train a policy against: {why}")

    def _refused(self) -> bool:
        with self._database.reading() as connection:
            rows = repository.newest_cycle(connection, self._project)
        if not rows or any(row["state"] != "refused" for row in rows):
            return False
        self.story.outcome = "refused by the gate"
        self.story.reasons = [
            f"{row['name']}@{row['version']}: {reason}" for row in rows for reason in row["gate"].get("reasons", [])
        ]
        return True

    async def _experiment(self, town: Town, known: list[str]) -> None:
        """People come from the challenger's proof on (before it they would be in no arm), until the decision."""
        bar = self._bar("the experiment: waiting for it to start", self._options.experiment_people)
        deadline = time.monotonic() + self._options.training_patience_seconds
        while (row := self._newest_experiment()) is None or (row["status"] == "running" and not self._proven(row)):
            await self._wait_until(deadline)

        def told(tally: WaveTally) -> None:
            self.story.experiment = tally
            self._progress.update(bar, completed=tally.visits, description="the experiment: people visit both arms")

        decided = asyncio.create_task(self._decided(deadline))
        try:
            plan = self._plan(100_000, self._options.experiment_people, known)
            await town.wave(plan, told, closed=decided.done)
            self.story.outcome = await decided
        finally:
            decided.cancel()
        self._progress.update(bar, description=f"the experiment: {self.story.outcome}")

    async def _decided(self, deadline: float) -> str:
        """How the newest experiment ended, once it has. Raises LoopDidNotClose after `deadline`."""
        while (row := self._newest_experiment()) is None or row["status"] == "running":
            await self._wait_until(deadline)
        return str(row["status"]).replace("_", " ")

    async def _wait_until(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise LoopDidNotClose("the experiment reached no decision within its time; see the decisions in the report")
        await asyncio.sleep(0.5)

    def _newest_experiment(self) -> Any:
        with self._database.reading() as connection:
            return repository.newest_experiment(connection, self._project)

    def _proven(self, experiment: Any) -> bool:
        with self._database.reading() as connection:
            return repository.takes_traffic(connection, self._project, str(experiment["challenger"]))

    async def _evaluate(self, client: AppClient, judge: Judge, unseen: list[str]) -> None:
        row = self._newest_experiment()
        assert row is not None
        adapter, each = str(row["challenger"]), self._options.evaluation_answers
        if self.story.outcome != "promoted":
            await asyncio.to_thread(self._keep_loaded, adapter)
        bar = self._bar("people judge unseen prompts", 2 * each * len(unseen))

        def tick() -> None:
            self._progress.advance(bar)

        async def ask(model: str) -> list[Any]:
            return await answer_all(
                client,
                model,
                unseen,
                each,
                system=prompts.SYSTEM,
                max_tokens=self._options.max_tokens,
                temperature=self._options.temperature,
                on_answer=tick,
            )

        async def ask_once_proven() -> list[Any]:
            await client.until_served(adapter)
            return await ask(adapter)

        base, new = await asyncio.gather(ask("base"), ask_once_proven())
        self.story.evaluation = await asyncio.to_thread(compare, judge, self._options.seed, adapter, unseen, base, new)

    def _keep_loaded(self, adapter: str) -> None:
        """Start the system again with `adapter` pinned: one that lost is unloaded, but people shall judge it too."""
        self._ending = True
        self._up.stop()
        profile.write(self._options, [adapter])
        self._up.start()
        self._ending = False
        self._up.wait_ready()

    def _plan(self, first: int, people: int, known: list[str]) -> VisitPlan:
        return VisitPlan(
            seed=self._options.seed,
            first_person=first,
            people=people,
            prompts=known,
            max_tokens=self._options.max_tokens,
            temperature=self._options.temperature,
            error_rate=self._options.error_rate,
            system=prompts.SYSTEM,
        )

    def _bar(self, description: str, total: float) -> TaskID:
        return self._progress.add_task(description, total=total)

    async def _keep_alive(self) -> None:
        """Start the system again whenever it dies: its promise is that nothing acknowledged is lost by that."""
        while True:
            if not self._up.alive() and not self._ending:
                self.story.restarts += 1
                self._up.start()
            await asyncio.sleep(0.2)


def _judge() -> Judge:
    """The people's judge, on one thread: beside the service, which has the cores, two only wait for each other."""
    import torch

    torch.set_num_threads(1)
    return Judge()


def progress_bars() -> Progress:
    """The look of the demo's progress."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description:<44}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )


def _gated(connection: Any, project: str) -> Any:
    """The newest adapter once its whole cycle has its verdicts: they are written together."""
    rows = repository.newest_cycle(connection, project)
    return rows[-1] if rows and all(row["state"] != "candidate" for row in rows) else None

"""A store with people in it: interactions, labels, feedback and offsets as serving and ingest write them."""

from dataclasses import dataclass, field

import msgspec
import numpy as np

from ab_testing.ledger import verify_chain
from ab_testing.repository import ExperimentRepository
from ab_testing.routing import assign
from ab_testing.service import Look, decide
from infra.contracts import Decision, Experiment, Interaction, ManualClock
from infra.db import Database, insert_ignore_many, upsert
from infra.db.tables import adapter_proofs, adapters, consumer_offsets, feedback_events, interactions, labels
from infra.event_log.port import EventLog
from infra.runtime import Context
from infra.settings import Settings

METRIC_WINDOW, LABEL_WINDOW, LATENESS, GRACE = 10.0, 20.0, 5.0, 5.0
FREEZE_AFTER = METRIC_WINDOW + LABEL_WINDOW + LATENESS + GRACE


def quick(settings: Settings, **ab_testing: object) -> Settings:
    """Settings with windows of seconds and one phase of half the people."""
    document = {
        "ramp_shares": (0.5,),
        "min_people_per_phase": 20,
        "min_phase_seconds": 0.0,
        "min_people_per_arm": 20,
        "min_runtime_seconds": 0.0,
        "metric_window_seconds": METRIC_WINDOW,
        "allowed_lateness_seconds": GRACE,
        "smallest_relative_effect": 0.3,
        "fdr_horizon": 4,
        "holdback_share": 0.0,
        "metrics": (
            {"name": "love", "objective": "love", "role": "goal"},
            {"name": "harm", "objective": "harm", "role": "guardrail", "direction": "lower", "missing": "zero",
             "delta": 0.1},
        ),
        **ab_testing,
    }  # fmt: skip
    tree = settings.model_dump()
    tree["ab_testing"] = tree["ab_testing"] | document
    tree["ingest"] |= {"window_seconds": LABEL_WINDOW, "allowed_lateness_seconds": LATENESS}
    return Settings(**tree)


@dataclass
class World:
    """Time, people and replicas around one project's store."""

    settings: Settings
    clock: ManualClock
    database: Database
    event_log: EventLog
    people: int = 0
    draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    @property
    def context(self) -> Context:
        return Context(self.settings, self.clock, self.database, self.event_log)

    @property
    def project(self) -> str:
        return self.settings.project

    def add_adapter(
        self,
        name: str = "style",
        version: int = 1,
        state: str = "challenger",
        cycle: int | None = None,
        gain: float | None = None,
    ) -> str:
        with self.database.transaction() as connection:
            connection.execute(
                adapters.insert().values(
                    project=self.project, name=name, version=version, path="/x", base_model_hash="h", file_hashes={},
                    fingerprint={}, state=state, parent="base", run_id="",
                    lineage={} if cycle is None else {"cycle": str(cycle)}, gate={} if gain is None else {"gain": gain},
                    created_at=self.clock.now(),
                )
            )  # fmt: skip
        return f"{name}@{version}"

    def prove(self, adapter: str, status: str = "proven", replica: str = "one", reason: str = "") -> None:
        statement = upsert(adapter_proofs, self.database.dialect).values(
            project=self.project, replica=replica, adapter=adapter, status=status, detail={"reason": reason},
            proved_at=self.clock.now(),
        )  # fmt: skip
        with self.database.transaction() as connection:
            connection.execute(statement)

    def consumed(self, at: float | None = None) -> None:
        """The consumer has applied everything up to now."""
        for kind in ("interactions", "feedback"):
            topic = f"{self.settings.event_log.topic_prefix}.{kind}"
            self.event_log.ensure_topic(topic)
            identity = self.event_log.topic_identity(topic)
            with self.database.transaction() as connection:
                for partition in range(self.event_log.partitions(topic)):
                    connection.execute(
                        upsert(consumer_offsets, self.database.dialect).values(
                            consumer_group=self.settings.ingest.consumer_group, topic=topic, topic_identity=identity,
                            partition=partition, next_offset=0, updated_at=self.clock.now() if at is None else at,
                        )
                    )  # fmt: skip

    def look(self, seconds: float = 0.0) -> Look:
        """Let time pass, consume, decide."""
        self.clock.advance(seconds)
        self.consumed()
        return decide(self.context)

    def start(self) -> Experiment:
        """A proven challenger in a running experiment."""
        adapter = self.add_adapter()
        self.prove(adapter)
        started = self.look()
        assert started.verdict is not None
        assert started.verdict.kind == "start"
        return self.experiment()

    def experiment(self) -> Experiment:
        from ab_testing.repository import ExperimentRepository

        with self.database.reading() as connection:
            found = ExperimentRepository(connection, self.project).newest()
        assert found is not None
        return found

    def visits(
        self,
        count: int,
        *,
        challenger: float,
        control: float,
        harm_challenger: float = 0.0,
        harm_control: float = 0.0,
        experiment: Experiment | None = None,
        arms: dict[str, float] | None = None,
    ) -> list[tuple[Interaction, dict[str, float | None]]]:
        """New people with one answer each, as routed now in the newest challenge (or `experiment`), and the labels they
        will have; `arms`: love rates of further candidates. Nothing is written."""
        experiment = experiment or self.experiment()
        rates = {"challenger": challenger, **(arms or {})}
        found: list[tuple[Interaction, dict[str, float | None]]] = []
        for _ in range(count):
            self.people += 1
            user = f"user-{self.people:06d}"
            assignment = assign(experiment, user)
            treated = assignment.arm == "challenger"
            interaction = Interaction(
                project=self.project,
                response_id=f"chatcmpl-{self.people:06d}",
                conversation_id=f"c-{self.people}",
                created_at=self.clock.now() + self.people * 1e-4,
                messages=(),
                answers=(),
                adapter=assignment.adapter,
                user_key=user,
                experiment=experiment.experiment_id if assignment.arm else None,
                arm=assignment.arm,
                propensity=assignment.propensity if assignment.arm else None,
                phase=assignment.phase if assignment.arm else None,
            )
            love = float(self.draw.random() < rates.get(assignment.arm or "", control))
            harm = float(self.draw.random() < (harm_challenger if treated else harm_control))
            found.append((interaction, {"love": love, "harm": harm}))
        return found

    def write(self, visits: list[tuple[Interaction, dict[str, float | None]]], *, final: bool = True) -> None:
        """Interactions, and their labels with a shown event behind each."""
        names = ("project", "response_id", "conversation_id", "user_key", "created_at", "adapter", "experiment", "arm",
                 "propensity", "phase", "source")  # fmt: skip
        answers, found = [], []
        for interaction, values in visits:
            payload = msgspec.msgpack.encode(interaction)
            known_at = max(self.clock.now(), interaction.created_at)
            answers.append((*(getattr(interaction, name) for name in names), known_at, payload, b"12345678"))
            for version in (0, 1) if final else (0,):
                made_at = interaction.created_at + (LABEL_WINDOW + LATENESS if version else 0.0)
                found.append(self.label(interaction, values, version, made_at))
        with self.database.transaction() as connection:
            insert_ignore_many(connection, interactions, (*names, "known_at", "payload", "content_hash"), answers)
            if found:
                insert_ignore_many(connection, labels, tuple(found[0]), [tuple(row.values()) for row in found])

    def label(
        self, interaction: Interaction, values: dict[str, float | None], version: int, made_at: float
    ) -> dict[str, object]:
        return {
            "project": self.project, "response_id": interaction.response_id, "choice": 0, "version": version,
            "status": "final" if version else "provisional", "objective_values": values, "weights": {},
            "events_counted": 1, "config_hash": "", "made_at": made_at,
            "window_closes_at": interaction.created_at + LABEL_WINDOW,
        }  # fmt: skip

    def feedback(self, interaction: Interaction, signal: str, received_at: float) -> None:
        with self.database.transaction() as connection:
            connection.execute(
                feedback_events.insert().values(
                    project=self.project, event_id=f"{interaction.response_id[-6:]}-{signal}"[:36],
                    response_id=interaction.response_id, choice=0, signal=signal, operation="set", value=None,
                    text=None, other_response_id=None, other_choice=0, user_key=None, derived_at=received_at,
                    received_at=received_at, source="api",
                )
            )  # fmt: skip


def ledger(world: World) -> list[Decision]:
    """The project's whole ledger, its chain checked."""
    with world.database.reading() as connection:
        rows = ExperimentRepository(connection, world.project).decisions()
    verify_chain(rows)
    return rows

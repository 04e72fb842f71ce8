"""Which adapters are loaded, and the proof of each: desired state from the store, made true here, again and again.

Nothing is served before its proof (contract 4), on any replica of the engine: see `serving.proving` for what a proof is
and `serving.keeping` for one replica's part. A refused adapter takes no traffic, and what was proven before keeps
serving. After a restart, of this process or of a replica, everything is proven anew.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import structlog

from ab_testing.layers import Router
from infra.contracts import BASE_ADAPTER, AdapterRef, Clock, Experiment, Fingerprint, PlauditError
from infra.contracts.adapters import parse_ref
from infra.db import Database
from infra.metrics import catalogue as metrics
from infra.settings.ab_testing import AbTestingSettings
from infra.settings.breakers import BreakerSettings
from serving.breakers import Breakers
from serving.engines import Engine
from serving.keeping import Keeper
from serving.proving import Prover
from serving.replicas import Fleet, replicas_of
from serving.repository import ServingRepository
from serving.routing_state import RoutingState

log = structlog.get_logger()
PASS_SECONDS = 5.0
"""How long one pass waits for its slowest replica; the others go on without it in the next."""


class Adapters:
    """Keeps the engine's adapters as the store wants them. `state` may be read by any thread."""

    def __init__(
        self,
        engine: Engine,
        database: Database,
        clock: Clock,
        *,
        project: str,
        replica: str,
        pinned: tuple[AdapterRef, ...] = (),
        retry_seconds: float = 60.0,
        rules: AbTestingSettings | None = None,
        breakers: Breakers | None = None,
    ) -> None:
        self._engine = engine
        self._database = database
        self._clock = clock
        self._project = project
        self._replica = replica
        self._pinned = pinned
        self._rules = rules or AbTestingSettings()
        self._breakers = breakers or Breakers(BreakerSettings())
        self._shown: set[AdapterRef] = set()
        self._lock = threading.Lock()  # one reconciliation at a time
        self._reading = threading.Lock()  # one reading of the store at a time
        self._writing = threading.RLock()  # held for microseconds: also taken by the engine's own thread
        self.state = RoutingState()
        self._keepers = self._kept(Prover(database, clock, project, engine.base), retry_seconds)
        self._pool = ThreadPoolExecutor(len(self._keepers), thread_name_prefix="keeper")
        if isinstance(engine, Fleet):
            engine.changed = self.recount

    def reconcile(self) -> None:
        """One pass on every replica: load and prove what is missing, let go of what is no longer wanted.

        Replicas go on side by side; one that hangs holds up nobody else. Store errors pass through and leave what is
        routed as it was.
        """
        with self._lock:
            if len(self._keepers) == 1:
                self._keepers[0].reconcile(self._read_store)
                return
            idle = [keeper for keeper in self._keepers if not keeper.busy()]
            passes = [self._pool.submit(keeper.reconcile, self._read_store) for keeper in idle]
            for ended in wait(passes, PASS_SECONDS).done:
                ended.result()

    def close(self) -> None:
        """Let the passes that hang alone, and tell the store that nothing is proven here any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        try:
            for keeper in self._keepers:
                keeper.farewell()
        except PlauditError as error:  # the next start says so too
            log.warning("shutdown_not_told", replica=self._replica, reason=error.message)

    def refusal(self, ref: AdapterRef) -> str | None:
        """Why an adapter was refused here, if it was: by the first replica that did."""
        return next((reason for keeper in self._keepers if (reason := keeper.refusal(ref))), None)

    def recount(self) -> None:
        """What can be served, from what each replica takes traffic for at this moment."""
        with self._writing:
            servable = frozenset().union(*(keeper.proven for keeper in self._keepers))
            if servable != self.state.servable:
                self.state = replace(self.state, servable=servable)
            self._show(servable)

    def refresh(self) -> None:
        """Read the store and route by it from now on: a few milliseconds, never held up by an adapter being loaded.

        Writes what the breakers here have given up. Store errors pass through and leave `state` as it was.
        """
        with self._reading:
            self._write_trips()
            now, before = self._clock.now(), self.state
            with self._database.reading() as connection:
                repository = ServingRepository(connection, self._project)
                champion, last_proven = repository.champion()
                running = repository.running_experiments()
                refs = {champion, last_proven, *self.state.servable, *(ref for e in running for ref in e.arms.values())}
                rejected = repository.rejected({parse_ref(ref)[0] for ref in refs if ref != BASE_ADAPTER})
                tripped = repository.trips(experiment.experiment_id for experiment in running)
            self._breakers.keep(running)
            router = before.router if running == before.experiments else self._compiled(running)
            with self._writing:
                self.state = replace(
                    self.state,
                    champion=champion,
                    last_proven=last_proven,
                    experiments=running,
                    router=router,
                    rejected=rejected,
                    tripped=tripped | self._breakers.tripped,
                    read_at=now,
                )
                self.recount()

    def trip(self) -> None:
        """Take the arms that the breakers have given up from the routes now; `refresh` writes them down."""
        with self._writing:
            self.state = replace(self.state, tripped=self.state.tripped | self._breakers.tripped)

    def _compiled(self, running: tuple[Experiment, ...]) -> Router:
        rules = self._rules
        return Router(self._project, running, holdout_share=rules.holdout_share, hash_mode=rules.hash_mode)

    def _write_trips(self) -> None:
        trips = self._breakers.unwritten()
        if not trips:
            return
        with self._database.transaction() as connection:
            repository = ServingRepository(connection, self._project)
            for trip in trips:
                repository.write_trip(self._replica, trip.experiment_id, trip.arm, trip.reason, self._clock.now())
        self._breakers.written(trips)

    def _read_store(self) -> list[AdapterRef]:
        self.refresh()
        return list(dict.fromkeys([*self.state.wanted(), *self._pinned]))

    def _kept(self, prover: Prover, retry_seconds: float) -> list[Keeper]:
        fleet = self._engine if isinstance(self._engine, Fleet) else None

        def own_word() -> Fingerprint | None:
            return None  # training computes as the local engine does, with the weights whose files were hashed

        return [
            Keeper(
                replica,
                prover,
                self._replica,
                retry_seconds=retry_seconds,
                reprove_seconds=fleet.reprove_every_seconds() if fleet else None,
                base_reference=fleet.base_reference if fleet else own_word,
                base_allowance=fleet.base_allowance() if fleet else 0.0,
                changed=self.recount,
            )
            for replica in replicas_of(self._engine)
        ]

    def _show(self, servable: frozenset[AdapterRef]) -> None:
        refused = frozenset().union(*(keeper.refused for keeper in self._keepers)) - servable
        for ref in self._shown - servable - refused:
            metrics.SERVING_ADAPTER_PROVEN.remove(ref)
        for ref in servable | refused:
            metrics.SERVING_ADAPTER_PROVEN.labels(adapter=ref).set(ref in servable)
        self._shown = set(servable | refused)


class Repeating(threading.Thread):
    """Calls `work` for ever; a failure is logged and tried again: what is proven goes on serving meanwhile."""

    def __init__(self, work: Callable[[], None], every_seconds: float, *, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._every_seconds = every_seconds
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work()
            except Exception as error:
                metrics.ERRORS.labels(component="serving", code=getattr(error, "code", f"{self.name}_failed")).inc()
                log.error(f"{self.name}_failed", error=str(error), error_type=type(error).__name__)
            self._stopping.wait(self._every_seconds)

    def stop(self) -> None:
        """Ask it to end and wait for the pass in progress."""
        self._stopping.set()
        if self.is_alive():
            self.join()

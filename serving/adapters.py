"""Which adapters are loaded, and the proof of each: desired state from the store, made true here, again and again.

Nothing is served before its proof (contract 4): file hashes, then log-probabilities on the probes, nearest to the
fingerprint that training stored among every known adapter and the base. A refused adapter takes no traffic, and what
was proven before keeps serving. After a restart everything is proven anew.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from ab_testing.layers import Router
from infra.contracts import BASE_ADAPTER, AdapterRef, AdapterVersion, Clock, Experiment, Fingerprint, PlauditError
from infra.contracts.adapters import parse_ref
from infra.db import Database, StoreUnavailable
from infra.metrics import catalogue as metrics
from infra.models.errors import AdapterRefused
from infra.models.fingerprint import Proof, nearest
from infra.models.lora import verify_files
from infra.settings.ab_testing import AbTestingSettings
from infra.settings.breakers import BreakerSettings
from serving.breakers import Breakers
from serving.engine import LocalEngine
from serving.repository import ServingRepository
from serving.routing_state import RoutingState

log = structlog.get_logger()


class Adapters:
    """Keeps the engine's adapters as the store wants them. `state` may be read by any thread."""

    def __init__(
        self,
        engine: LocalEngine,
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
        self._retry_seconds = retry_seconds
        self._rules = rules or AbTestingSettings()
        self._breakers = breakers or Breakers(BreakerSettings())
        self._refused: dict[AdapterRef, tuple[str, float]] = {}
        self._leaving: set[AdapterRef] = set()
        self._base_fingerprint: Fingerprint | None = None
        self._lock = threading.Lock()  # one reconciliation at a time
        self._reading = threading.Lock()  # one reading of the store at a time; held for milliseconds
        self.state = RoutingState()

    def reconcile(self) -> None:
        """One pass: read the store, load and prove what is missing, let go of what is no longer wanted.

        An adapter that leaves is taken from the routes in one pass and unloaded in the next. Store errors pass through
        and leave `state` as it was.
        """
        with self._lock:
            if self._base_fingerprint is None:
                self._prove_base()
            wanted = self._read_store()
            for ref in wanted:
                if ref not in self.state.servable and self._due(ref):
                    self._load(ref)
            self._let_go(set(wanted))

    def refusal(self, ref: AdapterRef) -> str | None:
        """Why an adapter was refused here, if it was."""
        found = self._refused.get(ref)
        return found[0] if found else None

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
            self.state = replace(
                self.state,
                champion=champion,
                last_proven=last_proven,
                experiments=running,
                router=before.router if running == before.experiments else self._compiled(running),
                rejected=rejected,
                tripped=tripped | self._breakers.tripped,
                read_at=now,
            )

    def trip(self) -> None:
        """Take the arms that the breakers have given up from the routes now; `refresh` writes them down."""
        with self._reading:
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

    def _prove_base(self) -> None:
        """The base proves itself by its files' hash; its fingerprint is the first rival of every adapter."""
        with self._database.transaction() as connection:
            ServingRepository(connection, self._project).forget_proofs(self._replica, self._clock.now())
        self._base_fingerprint = self._engine.fingerprint(BASE_ADAPTER)
        detail = {"base_model_hash": self._engine.base.base_model_hash, "noise": self._base_fingerprint.noise}
        self._admit(BASE_ADAPTER, "proven", detail)

    def _due(self, ref: AdapterRef) -> bool:
        refused = self._refused.get(ref)
        return refused is None or self._clock.now() - refused[1] >= self._retry_seconds

    def _load(self, ref: AdapterRef) -> None:
        try:
            proof = self._prove(ref)
        except StoreUnavailable:
            raise  # says nothing about the adapter, whose experiment would end by a refusal
        except PlauditError as error:
            self._refuse(ref, error.code, error.message, {})
            return
        if proof.verdict == "mismatch":
            self._refuse(ref, "adapter_mismatch", proof.reason, msgspec.to_builtins(proof))
            return
        self._admit(ref, proof.verdict, msgspec.to_builtins(proof))

    def _prove(self, ref: AdapterRef) -> Proof:
        parse_ref(ref)
        assert self._base_fingerprint is not None
        base_hash = self._engine.base.base_model_hash
        with self._database.reading() as connection:
            repository = ServingRepository(connection, self._project)
            adapter, relatives = repository.adapter(ref), repository.adapters_on(base_hash)
        if adapter is None:
            raise AdapterRefused(f"the store knows no adapter {ref}", code="adapter_missing")
        _check_base(adapter, base_hash)
        verify_files(Path(adapter.path), adapter.file_hashes)
        self._engine.load_adapter(ref, adapter.path)
        known = {BASE_ADAPTER: self._base_fingerprint} | {other.ref: other.fingerprint for other in relatives}
        return nearest(self._engine.fingerprint(ref), ref, known)

    def _admit(self, ref: AdapterRef, status: str, detail: dict[str, Any]) -> None:
        self._record(ref, status, detail)
        self._refused.pop(ref, None)
        self._leaving.discard(ref)
        with self._reading:
            self.state = replace(self.state, servable=self.state.servable | {ref})
        metrics.SERVING_ADAPTER_PROVEN.labels(adapter=ref).set(1)
        metrics.SERVING_PROOFS.labels(outcome=status).inc()
        log.info("adapter_admitted", adapter=ref, status=status, **detail)

    def _refuse(self, ref: AdapterRef, code: str, reason: str, detail: dict[str, Any]) -> None:
        self._engine.unload_adapter(ref)
        self._record(ref, "refused", {**detail, "code": code, "reason": reason})
        self._refused[ref] = (reason, self._clock.now())
        metrics.SERVING_ADAPTER_PROVEN.labels(adapter=ref).set(0)
        metrics.SERVING_PROOFS.labels(outcome="refused").inc()
        log.error("adapter_refused", adapter=ref, code=code, reason=reason)

    def _let_go(self, wanted: set[AdapterRef]) -> None:
        for ref in self._leaving - wanted:
            self._engine.unload_adapter(ref)
            self._record(ref, "unloaded", {"reason": "no longer champion, its predecessor, in an experiment or pinned"})
            metrics.SERVING_ADAPTER_PROVEN.remove(ref)
            log.info("adapter_unloaded", adapter=ref)
        self._leaving = set(self.state.servable - wanted)
        with self._reading:
            self.state = replace(self.state, servable=self.state.servable & wanted)
        for ref in set(self._refused) - wanted:
            del self._refused[ref]
            metrics.SERVING_ADAPTER_PROVEN.remove(ref)

    def _record(self, ref: AdapterRef, status: str, detail: dict[str, Any]) -> None:
        with self._database.transaction() as connection:
            repository = ServingRepository(connection, self._project)
            repository.write_proof(self._replica, ref, status, detail, self._clock.now())


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


def _check_base(adapter: AdapterVersion, base_hash: str) -> None:
    if adapter.base_model_hash != base_hash:
        raise AdapterRefused(
            f"{adapter.ref} belongs to base {adapter.base_model_hash[:12]}, this engine runs {base_hash[:12]}: load "
            "the same base model, or retrain",
            code="adapter_wrong_base",
        )

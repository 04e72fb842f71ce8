"""One replica's adapters: loaded, proven, opened for traffic, proven anew, let go of."""

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
import structlog

from infra.contracts import BASE_ADAPTER, AdapterRef, AdapterVersion, Fingerprint, PlauditError
from infra.db import StoreUnavailable
from infra.metrics import catalogue as metrics
from infra.models.errors import AdapterRefused
from serving.engine_errors import EngineFailed
from serving.proving import PROVEN, Mismatch, Proven, Prover, digest_of
from serving.replicas import LOCAL, Replica

log = structlog.get_logger()
Wanted = Callable[[], Sequence[AdapterRef]]
NOT_WANTED = "no longer champion, its predecessor, in an experiment or pinned"


class Keeper:
    """Keeps the adapters of one replica as they are wanted. `proven` and `refusal` may be read by any thread."""

    def __init__(
        self,
        replica: Replica,
        prover: Prover,
        gateway: str,
        *,
        retry_seconds: float,
        reprove_seconds: float | None,
        base_reference: Callable[[], Fingerprint | None],
        base_allowance: float,
        changed: Callable[[], None],
    ) -> None:
        self.replica = replica
        self.name = gateway if replica.name == LOCAL else f"{gateway[:40]}/{replica.name[:23]}"
        self._prover = prover
        self._retry_seconds = retry_seconds
        self._reprove_seconds = reprove_seconds
        self._base_reference = base_reference
        self._base_allowance = base_allowance
        self._changed = changed
        self._lock = threading.Lock()  # one pass at a time
        self._incarnation: int | None = None
        self._base: Fingerprint | None = None
        self._ending = False
        self._offset = 0.0
        self._proofs: dict[AdapterRef, tuple[str, float]] = {}  # (digest of what was proven, when)
        self._refused: dict[AdapterRef, tuple[str, float]] = {}
        self._failing: dict[AdapterRef, tuple[str, float]] = {}
        self._leaving: dict[AdapterRef, tuple[str, float]] = {}  # still loaded and proven, but out of the routes

    @property
    def refused(self) -> frozenset[AdapterRef]:
        """What it was asked to serve and will not."""
        return frozenset(self._refused.copy())

    @property
    def proven(self) -> frozenset[AdapterRef]:
        """What this replica takes traffic for."""
        return frozenset(self._proofs.copy()) & self.replica.opened()

    def refusal(self, ref: AdapterRef) -> str | None:
        """Why the adapter, or the base under it, was refused here."""
        found = self._refused.get(ref) or self._refused.get(BASE_ADAPTER)
        return found[0] if found else None

    def busy(self) -> bool:
        """Whether a pass is in progress."""
        return self._lock.locked()

    def reconcile(self, wanted: Wanted) -> None:
        """One pass. `wanted` is asked again after whatever takes time, most important first. Store errors pass
        through."""
        with self._lock:
            try:
                if self._ready():
                    self._check_names([*self._proofs, *self._leaving])
                    now_wanted = wanted()
                    self._take_back(now_wanted)
                    if self._prove_again():
                        now_wanted = wanted()
                    tried: set[AdapterRef] = set()  # each once a pass, however soon it is due again
                    while (ref := self._next(now_wanted, tried)) is not None:
                        tried.add(ref)
                        self._load(ref)
                        now_wanted = wanted()
                    self._let_go(set(now_wanted))
            except EngineFailed as error:  # says nothing about an adapter: the replica's health will tell
                log.warning("replica_failed", replica=self.name, reason=error.message)

    def farewell(self) -> None:
        """The gateway ends, perhaps for good: what it had proven stands for nothing any more, and retention need not
        keep its weights. Refusals stay readable until it starts again."""
        self._ending = True
        self._prover.forget(self.name, "the gateway was shut down", of=PROVEN)

    def _ready(self) -> bool:
        """Whether the replica is well and its base proven in its present incarnation."""
        well = self.replica.well()
        metrics.REPLICA_UP.labels(replica=self.replica.name).set(well)
        if self._incarnation != self.replica.incarnation or (not well and self._proofs):
            self._begin_anew(well)
        if not well:
            return False
        if self._base is None and self._due(BASE_ADAPTER):
            self._prove_base()
        return self._base is not None

    def _begin_anew(self, well: bool) -> None:
        first, incarnation = self._incarnation is None, self.replica.incarnation
        self._incarnation = None  # until the store knows: where it is away, the next pass begins anew again
        for ref in (*self._proofs, *self._leaving):
            self.replica.close(ref)
            self._forget_metrics(ref)
        self._proofs.clear()
        self._leaving.clear()
        self._base = None
        self._changed()
        reason = "the replica started anew" if well else "the replica does not answer"
        if not first:
            metrics.REPLICA_LOST.labels(replica=self.replica.name).inc()
            log.error("replica_lost", replica=self.name, reason=reason)
        self._prover.forget(self.name, reason)
        self._incarnation = incarnation

    def _prove_base(self) -> None:
        """The first rival of every adapter. Before it nothing else is proven here."""
        incarnation = self._incarnation
        try:
            proven, self._base, self._offset = self._prover.base(
                self.replica, self._base_reference(), self._base_allowance
            )
        except Mismatch as error:
            self._refuse(BASE_ADAPTER, error)
        except EngineFailed as error:
            self._fail(BASE_ADAPTER, error)
        else:
            self._admit(BASE_ADAPTER, proven, incarnation)

    def _next(self, wanted: Sequence[AdapterRef], tried: Collection[AdapterRef]) -> AdapterRef | None:
        if self._incarnation != self.replica.incarnation or self._ending:
            return None
        return next((ref for ref in wanted if ref not in self._proofs and ref not in tried and self._due(ref)), None)

    def _due(self, ref: AdapterRef) -> bool:
        """Not refused, or long enough ago; what merely failed is tried again ten times as soon."""
        now, refused, failing = self._prover.now(), self._refused.get(ref), self._failing.get(ref)
        if failing is not None and now - failing[1] < self._retry_seconds / 10:
            return False
        return refused is None or now - refused[1] >= self._retry_seconds

    def _load(self, ref: AdapterRef) -> None:
        incarnation = self._incarnation
        try:
            proven = self._loaded(ref, self._prover.row(ref))
        except StoreUnavailable:
            raise  # says nothing about the adapter, whose experiment would end by a refusal
        except EngineFailed as error:  # neither does this
            self._fail(ref, error)
        except PlauditError as error:
            if incarnation == self.replica.incarnation:  # else it was lost in the middle, which is not its fault
                self._refuse(ref, error)
        else:
            self._admit(ref, proven, incarnation)

    def _loaded(self, ref: AdapterRef, adapter: AdapterVersion) -> Proven:
        """Load and prove; where the replica holds something stale under the name, once more under another."""
        assert self._base is not None
        folder = self._prover.files(adapter)
        for chance in (2, 1):
            self.replica.load_adapter(ref, str(folder))
            try:
                proof = self._prover.adapter(self.replica, ref, self._base, self._offset)
            except Mismatch as error:
                if chance == 1 or not self.replica.second_chance():
                    raise
                log.warning("adapter_loaded_again", adapter=ref, replica=self.name, reason=error.message)
                self.replica.unload_adapter(ref)
                continue
            return Proven(proof.verdict, msgspec.to_builtins(proof), digest_of(adapter.file_hashes))
        raise AssertionError("unreachable")

    def _admit(self, ref: AdapterRef, proven: Proven, incarnation: int | None) -> None:
        if incarnation is None or incarnation != self.replica.incarnation:
            return  # what was proven is gone; the next pass begins anew
        self._prover.record(self.name, ref, proven.status, proven.detail)
        if not self.replica.open(ref, incarnation):
            return
        self._refused.pop(ref, None)
        self._failing.pop(ref, None)
        self._proofs[ref] = (proven.digest, self._prover.now())
        self._changed()
        metrics.REPLICA_ADAPTER_PROVEN.labels(replica=self.replica.name, adapter=ref).set(1)
        margin = proven.detail.get("margin")
        if margin is not None:
            metrics.REPLICA_PROOF_MARGIN.labels(replica=self.replica.name, adapter=ref).set(margin)
        metrics.SERVING_PROOFS.labels(outcome=proven.status).inc()
        log.info("adapter_admitted", adapter=ref, replica=self.name, status=proven.status, **proven.detail)

    def _fail(self, ref: AdapterRef, error: EngineFailed) -> None:
        self._failing[ref] = (error.message, self._prover.now())
        self._prover.record(self.name, ref, "failing", {"code": error.code, "reason": error.message})
        log.warning("adapter_not_loaded", adapter=ref, replica=self.name, reason=error.message)

    def _refuse(self, ref: AdapterRef, error: PlauditError) -> None:
        """Close before anything else: a store that is away must not keep a wrong adapter in traffic."""
        self.replica.close(ref)
        self._proofs.pop(ref, None)
        self._leaving.pop(ref, None)
        self._refused[ref] = (error.message, self._prover.now())
        self._changed()
        self.replica.unload_adapter(ref)
        numbers: dict[str, Any] = msgspec.to_builtins(error.proof) if isinstance(error, Mismatch) else {}
        self._prover.record(self.name, ref, "refused", {**numbers, "code": error.code, "reason": error.message})
        metrics.REPLICA_ADAPTER_PROVEN.labels(replica=self.replica.name, adapter=ref).set(0)
        metrics.SERVING_PROOFS.labels(outcome="refused").inc()
        log.error("adapter_refused", adapter=ref, replica=self.name, code=error.code, reason=error.message)

    def _check_names(self, refs: Sequence[AdapterRef]) -> None:
        """A name that means other weights now than when they were proven is refused: names are never reused."""
        held = {**self._leaving, **self._proofs}
        named = [ref for ref in refs if ref != BASE_ADAPTER]
        known = self._prover.digests(named) if named else {}
        for ref in named:
            if known.get(ref) not in (None, held[ref][0]):
                text = (
                    f"{ref} has other files in the store than those that were proven: names are never reused, give "
                    "what is new a new version"
                )
                self._refuse(ref, AdapterRefused(text, code="adapter_renamed"))

    def _prove_again(self) -> bool:
        """Whatever was proven long ago; nothing seems to have happened since. Whether there was any."""
        if self._reprove_seconds is None:
            return False
        tried = False
        for ref, (_, at) in list(self._proofs.items()):
            if ref == BASE_ADAPTER or self._prover.now() - at < self._reprove_seconds:
                continue
            tried = True
            incarnation, adapter = self._incarnation, self._prover.row(ref)
            assert self._base is not None
            try:
                proof = self._prover.adapter(self.replica, ref, self._base, self._offset)
            except Mismatch as error:
                if incarnation != self.replica.incarnation:
                    return True
                self._refuse(ref, error)
                del self._refused[ref]  # its files are still what was trained: loaded again at once
            else:
                detail = Proven(proof.verdict, msgspec.to_builtins(proof), digest_of(adapter.file_hashes))
                self._admit(ref, detail, incarnation)
        return tried

    def _take_back(self, wanted: Sequence[AdapterRef]) -> None:
        """What was about to leave and is wanted again has never stopped being proven."""
        for ref in set(self._leaving) & set(wanted):
            self._proofs[ref] = self._leaving.pop(ref)
            self._changed()

    def _let_go(self, wanted: set[AdapterRef]) -> None:
        """What is no longer wanted leaves the routes in one pass and the replica in the next: a request that was routed
        a moment ago still finds it."""
        self._take_back(list(wanted))
        for ref in self._leaving:
            self.replica.unload_adapter(ref)
            self._prover.record(self.name, ref, "unloaded", {"reason": NOT_WANTED})
            self._forget_metrics(ref)
            log.info("adapter_unloaded", adapter=ref, replica=self.name)
        self._leaving = {ref: self._proofs.pop(ref) for ref in set(self._proofs) - wanted}
        for given_up in (self._refused, self._failing):
            for ref in set(given_up) - wanted:
                del given_up[ref]
                self._forget_metrics(ref)
        self._changed()

    def _forget_metrics(self, ref: AdapterRef) -> None:
        for gauge in (metrics.REPLICA_ADAPTER_PROVEN, metrics.REPLICA_PROOF_MARGIN):
            gauge.remove(self.replica.name, ref)

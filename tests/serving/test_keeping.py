"""One replica's keeper: what the store is told when a replica begins and ends, also when the store was away."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from infra.contracts import Fingerprint, ManualClock
from infra.db import Database, StoreUnavailable
from serving.engine_errors import EngineFailed
from serving.keeping import Keeper
from serving.proving import Proven, Prover
from serving.repository import ServingRepository
from tests.serving.conftest import PROJECT


class Gone:
    """A replica that does not answer."""

    name = "local"
    incarnation = 3

    def well(self) -> bool:
        return False

    def opened(self) -> frozenset[str]:
        return frozenset()


class Failing:
    """A replica that answers and can load nothing."""

    name, incarnation = "local", 0

    def __init__(self) -> None:
        self.tried: list[str] = []
        self._opened: frozenset[str] = frozenset()

    def well(self) -> bool:
        return True

    def load_adapter(self, ref: str, path: str) -> None:
        self.tried.append(ref)
        assert len(self.tried) < 100, "the pass never ends"
        raise EngineFailed("no memory")

    def open(self, ref: str, incarnation: int) -> bool:
        self._opened |= {ref}
        return True

    def opened(self) -> frozenset[str]:
        return self._opened


class Trusting(Prover):
    """Believes in the base and in every folder."""

    def base(self, *_given: Any) -> tuple[Proven, Fingerprint, float]:
        return Proven("proven", {}, ""), Fingerprint(probe_hash="", logprobs=(), noise=0.0), 0.0

    def row(self, ref: str) -> Any:
        return ref

    def files(self, adapter: Any) -> Path:
        return Path(adapter)


class Store:
    """The store; `away` while it does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.away = False

    def reading(self) -> AbstractContextManager[Connection]:
        return self._database.reading()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        if self.away:
            raise StoreUnavailable("the store does not answer")
        with self._database.transaction() as connection:
            yield connection


@pytest.fixture
def store(sqlite_database: Database) -> Store:
    """Holds what a former life of the replica r1 proved and refused, and what r2 proved."""
    rows = (("r1", "kind@1", "proven"), ("r1", "kind@2", "refused"), ("r2", "kind@1", "proven"))
    with sqlite_database.transaction() as connection:
        for replica, ref, status in rows:
            ServingRepository(connection, PROJECT).write_proof(replica, ref, status, {"reason": "before"}, 1.0)
    return Store(sqlite_database)


def kept(
    store: Any, clock: ManualClock, replica: Any = None, prover: type[Prover] = Prover, retry_seconds: float = 60.0
) -> Keeper:
    return Keeper(
        replica or Gone(),
        prover(store, clock, PROJECT, base=None),  # type: ignore[arg-type]
        "r1",
        retry_seconds=retry_seconds,
        reprove_seconds=None,
        base_reference=lambda: None,
        base_allowance=0.0,
        changed=lambda: None,
    )


def said(store: Store) -> dict[tuple[str, str], tuple[str, str]]:
    with store.reading() as connection:
        rows = ServingRepository(connection, PROJECT).standing_proofs()
    return {(row.replica, row.adapter): (row.status, row.detail["reason"]) for row in rows}


def test_what_a_former_life_proved_is_forgotten_as_soon_as_the_store_can_be_told(
    store: Store, clock: ManualClock
) -> None:
    keeper, store.away = kept(store, clock), True
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            keeper.reconcile(list)
    assert said(store)["r1", "kind@1"] == ("proven", "before")
    store.away = False
    keeper.reconcile(list)
    gone = ("unloaded", "the replica does not answer")
    assert said(store) == {
        ("r1", "kind@1"): gone, ("r1", "kind@2"): gone, ("r2", "kind@1"): ("proven", "before"),
    }  # fmt: skip


def test_a_gateway_that_ends_leaves_no_proof_behind_and_keeps_its_reasons(store: Store, clock: ManualClock) -> None:
    """A replica that is never started again would otherwise keep old weights from retention for ever."""
    kept(store, clock).farewell()
    assert said(store) == {
        ("r1", "kind@1"): ("unloaded", "the gateway was shut down"),
        ("r1", "kind@2"): ("refused", "before"),
        ("r2", "kind@1"): ("proven", "before"),
    }


def test_a_pass_ends_though_what_failed_is_due_again_at_once(store: Store, clock: ManualClock) -> None:
    """What fails more slowly than it is tried again would hold the pass, and the process at its end, for ever."""
    replica = Failing()
    keeper = kept(store, clock, replica, Trusting, retry_seconds=0.0)
    for _ in range(2):
        keeper.reconcile(lambda: ["kind@1", "kind@2", "base"])
    assert replica.tried == ["kind@1", "kind@2"] * 2
    keeper.farewell()
    keeper.reconcile(lambda: ["kind@1", "base"])
    assert len(replica.tried) == 4, "who ends begins nothing"

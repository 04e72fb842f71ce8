"""One replica's keeper: what the store is told when a replica begins and ends, also when the store was away."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from infra.contracts import ManualClock
from infra.db import Database, StoreUnavailable
from serving.keeping import Keeper
from serving.proving import Prover
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


def kept(store: Any, clock: ManualClock) -> Keeper:
    return Keeper(
        Gone(),  # type: ignore[arg-type]
        Prover(store, clock, PROJECT, base=None),  # type: ignore[arg-type]
        "r1",
        retry_seconds=60.0,
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

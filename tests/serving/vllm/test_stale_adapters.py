"""Stale adapters, drilled: each way in which a server may serve other weights than those trained is refused or
repaired, on the replica where it happens, told in status and metrics, and never served."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from sqlalchemy import select, update

from infra.contracts import AdapterVersion, ManualClock
from infra.db import Database
from infra.db.tables import adapter_proofs, adapters
from infra.metrics.registry import REGISTRY
from infra.models.hashes import hash_folder
from infra.models.lora import WEIGHTS_FILE
from serving.routing_state import Route, route
from tests.fixtures.helpers import wait_until
from tests.models_fixtures import make_tiny_lora
from tests.serving.conftest import set_champion
from tests.serving.vllm.conftest import MakeRig, Rig

MakeAdapter = Callable[..., AdapterVersion]


def statuses(database: Database, ref: str) -> dict[str, tuple[str, str]]:
    """(status, code) by replica."""
    with database.reading() as connection:
        query = select(adapter_proofs.c.replica, adapter_proofs.c.status, adapter_proofs.c.detail)
        rows = connection.execute(query.where(adapter_proofs.c.adapter == ref)).all()
    return {row.replica.removeprefix("gw/"): (row.status, row.detail.get("code", "")) for row in rows}


def gauge(ref: str, replica: str) -> float | None:
    return REGISTRY.get_sample_value("plaudit_serving_replica_adapter_proven", {"replica": replica, "adapter": ref})


def reconcile(rig: Rig) -> None:
    """One whole pass on every replica, however slow the machine is."""
    assert rig.adapters is not None
    rig.adapters.reconcile()
    keepers = rig.adapters._keepers
    wait_until(lambda: not any(keeper.busy() for keeper in keepers), 60.0, "the end of the pass")


def servable(rig: Rig) -> frozenset[str]:
    assert rig.adapters is not None
    return rig.adapters.state.servable


def names(rig: Rig, number: int, ref: str) -> list[str]:
    """By which names a server was asked to answer for an adapter."""
    return [name for name in rig.doubles[number].answered if name.startswith(f"{ref}+")]


@pytest.mark.parametrize("other", ["another adapter", pytest.param("the base", marks=pytest.mark.full)])
def test_same_name_with_other_weights_is_refused_where_it_happens(
    other: str, make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    rig = make_kept(2)
    make_adapter("kind", seed=1)
    rude = make_adapter("rude", seed=2)
    rig.doubles[0].faults.stale["kind@1"] = Path(rude.path) if other == "another adapter" else None
    set_champion(sqlite_database, "kind@1")
    reconcile(rig)
    assert statuses(sqlite_database, "kind@1") == {
        "vllm-0": ("refused", "adapter_mismatch"), "vllm-1": ("proven", ""),
    }  # fmt: skip
    assert (gauge("kind@1", "vllm-0"), gauge("kind@1", "vllm-1")) == (0.0, 1.0)
    assert "kind@1" in servable(rig), "one replica has proven it"
    for seed in range(4):
        rig.ask("kind@1", seed=seed)
    assert names(rig, 0, "kind@1") == []
    assert len(names(rig, 1, "kind@1")) == 4
    assert not any(name.startswith("kind@1") for name in rig.doubles[0].table), "it is unloaded there"


def test_a_name_that_a_server_holds_stale_is_loaded_once_more_under_a_fresh_one(
    make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    rig = make_kept(1)
    kind, rude = make_adapter("kind", seed=1), make_adapter("rude", seed=2)
    set_champion(sqlite_database, "kind@1")
    reconcile(rig)
    expected, (name,) = rig.ask("kind@1"), rig.doubles[0].table
    before = rig.engine.replicas()[0].incarnation
    rig.doubles[0].crash(cache={name: (kind.path, Path(rude.path))})
    wait_until(lambda: not rig.engine.replicas()[0].well(), 60.0, "the loss to be seen")
    assert servable(rig) == frozenset(), "nothing is proven by a replica that is away"
    rig.doubles[0].start()
    rig.well()
    assert rig.engine.replicas()[0].incarnation > before
    assert name in rig.doubles[0].table, "it came up with its old cache"
    reconcile(rig)
    assert statuses(sqlite_database, "kind@1") == {"vllm-0": ("proven", "")}
    assert rig.ask("kind@1") == expected
    assert names(rig, 0, "kind@1") == [name, f"{name}.2"]


def test_loading_that_says_yes_and_does_nothing_is_refused(
    make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    rig = make_kept(1)
    make_adapter("kind", seed=1)
    rig.doubles[0].faults.forget_loads = True
    set_champion(sqlite_database, "kind@1")
    reconcile(rig)
    assert statuses(sqlite_database, "kind@1") == {"vllm-0": ("refused", "adapter_missing")}
    assert servable(rig) == {"base"}


def _truncated(adapter: AdapterVersion, _database: Database) -> None:
    path = Path(adapter.path) / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-7])


def _of_another_base(_adapter: AdapterVersion, database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(update(adapters).values(base_model_hash="0" * 64))


def _of_zeros(adapter: AdapterVersion, database: Database) -> None:
    _spoil(adapter, database, lambda name, tensor: tensor * 0 if "lora_B" in name else tensor)


def _of_another_rank(adapter: AdapterVersion, database: Database) -> None:
    _spoil(adapter, database, lambda name, tensor: tensor[:2] if "lora_A" in name else tensor[:, :2])


def _spoil(adapter: AdapterVersion, database: Database, change: Callable[[str, Any], Any]) -> None:
    """Other weights whose hashes are in the store, as when the wrong file was hashed."""
    path = Path(adapter.path) / WEIGHTS_FILE
    save_file({name: change(name, tensor).contiguous() for name, tensor in load_file(path).items()}, path)
    with database.transaction() as connection:
        connection.execute(update(adapters).values(file_hashes=hash_folder(Path(adapter.path))))


def test_what_is_wrong_with_the_files_is_seen_before_any_server_hears_of_it(
    make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    rig = make_kept(1)
    for version, (spoil, code) in enumerate(
        [
            (_truncated, "adapter_corrupt"),
            (_of_zeros, "adapter_zero"),
            (_of_another_rank, "adapter_wrong_rank"),
            (_of_another_base, "adapter_wrong_base"),
        ],
        start=1,
    ):
        spoil(make_adapter("kind", version, seed=version), sqlite_database)
        set_champion(sqlite_database, f"kind@{version}")
        reconcile(rig)
        assert statuses(sqlite_database, f"kind@{version}") == {"vllm-0": ("refused", code)}
        assert rig.adapters is not None
        assert route(rig.adapters.state, "plaudit", "someone", True) == Route("base")
    assert rig.doubles[0].table == {}


def test_what_was_wanted_when_its_loading_began_is_not_served_when_something_else_is_by_its_end(
    make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    rig = make_kept(1)
    make_adapter("kind", seed=1)
    make_adapter("rude", seed=2)
    set_champion(sqlite_database, "kind@1")
    load = rig.doubles[0]._weights

    def moved_meanwhile(folder: Path | None) -> Any:
        set_champion(sqlite_database, "rude@1")
        return load(folder)

    rig.doubles[0]._weights = moved_meanwhile  # type: ignore[method-assign]
    reconcile(rig)
    assert rig.adapters is not None
    assert rig.adapters.state.champion == "rude@1"
    assert route(rig.adapters.state, "plaudit", "someone", True) == Route("rude@1"), "in the same pass"
    assert servable(rig) == {"base", "rude@1"}
    reconcile(rig)
    assert statuses(sqlite_database, "kind@1")["vllm-0"][0] == "unloaded"


def test_a_replica_that_restarts_unseen_is_noticed_by_its_connection_and_what_it_lost_is_loaded_again(
    make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    """Answers go on meanwhile, by the other replica, and none is made with other weights."""
    rig = make_kept(2)
    kind, rude = make_adapter("kind", seed=1), make_adapter("rude", seed=2)
    set_champion(sqlite_database, "kind@1")
    reconcile(rig)
    expected = [rig.ask("kind@1", seed=seed) for seed in range(3)]
    stop, wrong, failed = threading.Event(), list[Any](), list[Exception]()

    def people() -> None:
        seed = 0
        while not stop.is_set():
            seed = (seed + 1) % 3
            try:
                found = rig.ask("kind@1", seed=seed)
            except Exception as error:
                failed.append(error)
            else:
                if found != expected[seed]:
                    wrong.append(found)

    asking = threading.Thread(target=people)
    asking.start()
    try:
        before = rig.engine.replicas()[0].incarnation
        rig.doubles[0].crash(cache={"kind@1": (kind.path, Path(rude.path))})  # as `--lora-modules kind@1=...` would
        rig.doubles[0].start()
        wait_until(lambda: rig.engine.replicas()[0].incarnation > before, 60.0, "the loss to be seen")
        rig.well()
        reconcile(rig)
    finally:
        stop.set()
        asking.join()
    assert wrong == []
    # What was in the middle of its tokens when the server died has failed; nothing else has.
    assert len(failed) <= 1
    assert statuses(sqlite_database, "kind@1") == {"vllm-0": ("proven", ""), "vllm-1": ("proven", "")}
    assert "kind@1" not in names(rig, 0, "kind@1")


def test_one_of_three_that_fails_takes_no_traffic_until_it_has_proven_everything_again(
    make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database, clock: ManualClock
) -> None:
    rig = make_kept(3)
    make_adapter("kind", seed=1)
    set_champion(sqlite_database, "kind@1")
    reconcile(rig)
    assert {status for status, _ in statuses(sqlite_database, "kind@1").values()} == {"proven"}
    rig.doubles[1].faults.failing_completions = 10**6
    expected = rig.ask("kind@1")
    for _ in range(8):
        assert rig.ask("kind@1") == expected, "no request fails"
    wait_until(lambda: not rig.engine.replicas()[1].opened(), 60.0, "the failing replica to be left out")
    count = 10**6 - rig.doubles[1].faults.failing_completions
    reconcile(rig)
    assert statuses(sqlite_database, "base")["vllm-1"][0] in ("unloaded", "failing")
    assert statuses(sqlite_database, "kind@1") == {
        "vllm-0": ("proven", ""), "vllm-1": ("unloaded", ""), "vllm-2": ("proven", ""),
    }  # fmt: skip
    asked = len(rig.doubles[1].answered)
    rig.ask("kind@1")
    assert len(rig.doubles[1].answered) == asked
    assert count >= 3
    rig.doubles[1].faults.failing_completions = 0
    rig.well()
    clock.advance(7)
    reconcile(rig)
    assert statuses(sqlite_database, "kind@1")["vllm-1"] == ("proven", "")


def test_weights_that_change_after_their_proof_are_found_when_they_are_proven_again(
    make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    rig = make_kept(1, reprove_every_seconds=300.0)
    make_adapter("kind", seed=1)
    set_champion(sqlite_database, "kind@1")
    reconcile(rig)
    expected = rig.ask("kind@1")
    make_tiny_lora(rig.loaded, tmp_path / "other", seed=9)
    (name,) = rig.doubles[0].table
    rig.doubles[0].table[name] = (rig.doubles[0].table[name][0], *rig.doubles[0]._weights(tmp_path / "other"))
    reconcile(rig)
    assert rig.ask("kind@1") != expected, "nobody can see it yet"
    clock.advance(301)
    reconcile(rig)
    assert statuses(sqlite_database, "kind@1") == {"vllm-0": ("proven", "")}, "loaded again under a fresh name"
    assert rig.ask("kind@1") == expected
    assert names(rig, 0, "kind@1")[-1] == f"{name}.2"


def test_a_name_is_never_reused(make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database) -> None:
    """The row of an adapter that is served says all at once that it is something else."""
    rig = make_kept(1)
    make_adapter("kind", seed=1)
    set_champion(sqlite_database, "kind@1")
    reconcile(rig)
    with sqlite_database.transaction() as connection:
        connection.execute(update(adapters).values(file_hashes={"adapter_model.safetensors": "f" * 64}))
    reconcile(rig)
    assert statuses(sqlite_database, "kind@1") == {"vllm-0": ("refused", "adapter_renamed")}
    assert servable(rig) == {"base"}


def test_servers_of_another_base_take_no_traffic_at_all(
    make_kept: MakeRig, make_adapter: MakeAdapter, sqlite_database: Database, other_tiny_model_dir: Path
) -> None:
    from infra.models.loading import load_folder

    rig = make_kept(1)
    rig.doubles[0].loaded = load_folder(other_tiny_model_dir, device="cpu", dtype="float32")
    make_adapter("kind", seed=1)
    set_champion(sqlite_database, "kind@1")
    reconcile(rig)
    assert statuses(sqlite_database, "base") == {"vllm-0": ("refused", "adapter_mismatch")}
    assert servable(rig) == frozenset()
    assert rig.adapters is not None
    assert "base" in str(rig.adapters.refusal("kind@1"))

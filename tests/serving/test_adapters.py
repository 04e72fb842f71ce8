"""Adapters: nothing is served before its proof, and a swap fails no request."""

import json
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sqlalchemy import Connection, select, update

from infra.contracts import AdapterVersion, ManualClock
from infra.db import Database, StoreUnavailable
from infra.db.tables import adapter_proofs, adapters
from infra.models.fingerprint import measure
from infra.models.hashes import hash_folder
from infra.models.loading import LoadedModel, load_folder
from infra.models.lora import WEIGHTS_FILE, load_trainable, save_adapter, verify_files
from infra.models.merging import merged_copy
from policy_update.faces import in_model_precision
from policy_update.merging import copy_of, merge_into
from serving.adapters import Adapters
from serving.engine import LocalEngine
from serving.routing_state import NothingProven, Route, route
from tests.models_fixtures import make_tiny_lora
from tests.serving.conftest import PROJECT, Served, set_champion, start_experiment, wait_until

MakeAdapter = Callable[..., AdapterVersion]


@pytest.fixture
def engine(tiny_loaded: LoadedModel) -> Any:
    made = LocalEngine(tiny_loaded)
    yield made
    made.close()


@pytest.fixture
def reconciled(engine: LocalEngine, sqlite_database: Database, clock: ManualClock) -> Adapters:
    return Adapters(engine, sqlite_database, clock, project=PROJECT, replica="r1", retry_seconds=60.0)


def proof(database: Database, ref: str) -> tuple[str, dict[str, Any]]:
    with database.reading() as connection:
        query = select(adapter_proofs.c.status, adapter_proofs.c.detail).where(adapter_proofs.c.adapter == ref)
        row = connection.execute(query).one()
    return row.status, row.detail


def test_a_champion_is_loaded_proven_and_then_served(
    reconciled: Adapters, engine: LocalEngine, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    make_adapter("kind", seed=1)
    make_adapter("rude", seed=2)
    set_champion(sqlite_database, "kind@1")
    reconciled.reconcile()
    status, detail = proof(sqlite_database, "kind@1")
    assert status == "proven"
    assert detail["distance"] < 1e-5 < detail["rival_distance"]
    assert reconciled.state.servable == {"kind@1", "base"}
    assert engine.loaded() == {"kind@1", "base"}
    assert route(reconciled.state, "plaudit", "someone", True) == Route("kind@1")


def _damage(folder: Path) -> None:
    path = folder / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-7])


def _scale(folder: Path, factor: float) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    save_file({k: t * factor if "lora_B" in k else t for k, t in tensors.items()}, folder / WEIGHTS_FILE)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda a, o: _damage(Path(a.path)), "adapter_corrupt"),
        (lambda a, o: (Path(a.path) / WEIGHTS_FILE).unlink(), "adapter_missing"),
        (lambda a, o: Path(a.path).rename(Path(a.path).with_name("moved")), "adapter_missing"),
        (lambda a, o: (Path(a.path) / "more.bin").write_bytes(b"x"), "adapter_corrupt"),
    ],
)
def test_a_spoiled_folder_is_refused_and_the_base_keeps_serving(
    spoil: Any,
    code: str,
    reconciled: Adapters,
    engine: LocalEngine,
    make_adapter: MakeAdapter,
    sqlite_database: Database,
) -> None:
    adapter = make_adapter("kind", seed=1)
    spoil(adapter, None)
    set_champion(sqlite_database, "kind@1")
    reconciled.reconcile()
    status, detail = proof(sqlite_database, "kind@1")
    assert (status, detail["code"]) == ("refused", code)
    assert engine.loaded() == {"base"}
    assert route(reconciled.state, "plaudit", None, True) == Route("base")
    assert reconciled.refusal("kind@1") == detail["reason"]


@pytest.mark.parametrize("how", ["swapped", "half", "nothing"])
def test_other_weights_with_right_hashes_are_found_by_what_they_say(
    how: str, reconciled: Adapters, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    """The hashes are made to agree, as when the wrong file was hashed at training time: only the probes can tell."""
    kind, rude = make_adapter("kind", seed=1), make_adapter("rude", seed=2)
    if how == "swapped":
        (Path(kind.path) / WEIGHTS_FILE).write_bytes((Path(rude.path) / WEIGHTS_FILE).read_bytes())
    else:
        _scale(Path(kind.path), 0.5 if how == "half" else 0.0)
    with sqlite_database.transaction() as connection:
        new = adapters.update().where(adapters.c.name == "kind").values(file_hashes=hash_folder(Path(kind.path)))
        connection.execute(new)
    set_champion(sqlite_database, "kind@1")
    reconciled.reconcile()
    status, detail = proof(sqlite_database, "kind@1")
    assert (status, detail["code"]) == ("refused", "adapter_zero" if how == "nothing" else "adapter_mismatch")
    assert "kind@1" not in reconciled.state.servable


def test_another_base_is_refused(reconciled: Adapters, make_adapter: MakeAdapter, sqlite_database: Database) -> None:
    make_adapter("kind", base_model_hash="0" * 64)
    set_champion(sqlite_database, "kind@1")
    reconciled.reconcile()
    assert proof(sqlite_database, "kind@1")[1]["code"] == "adapter_wrong_base"


def test_an_identical_twin_is_admitted_by_hash_alone_and_says_so(
    reconciled: Adapters, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    make_adapter("kind", 1, seed=1)
    make_adapter("kind", 2, seed=1)
    set_champion(sqlite_database, "kind@2")
    reconciled.reconcile()
    assert proof(sqlite_database, "kind@2")[0] == "indistinguishable"
    assert "kind@2" in reconciled.state.servable


class AwayOnce:
    """A store that does not answer the reading in the middle of a proof, once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._readings = 0

    def reading(self) -> AbstractContextManager[Connection]:
        self._readings += 1
        if self._readings == 2:
            raise StoreUnavailable("the store does not answer")
        return self._database.reading()

    def transaction(self) -> AbstractContextManager[Connection]:
        return self._database.transaction()


def test_a_store_that_is_away_says_nothing_about_an_adapter(
    engine: LocalEngine, make_adapter: MakeAdapter, sqlite_database: Database, clock: ManualClock
) -> None:
    """A refusal ends the experiment of a challenger and rejects it: it takes more than a store that did not answer."""
    make_adapter("kind", seed=1)
    set_champion(sqlite_database, "kind@1")
    store: Any = AwayOnce(sqlite_database)
    reconciled = Adapters(engine, store, clock, project=PROJECT, replica="r1", retry_seconds=60.0)
    with pytest.raises(StoreUnavailable):
        reconciled.reconcile()
    assert reconciled.refusal("kind@1") is None
    reconciled.reconcile()
    assert proof(sqlite_database, "kind@1")[0] == "proven"


def test_a_restored_adapter_is_tried_again_after_a_while(
    reconciled: Adapters, make_adapter: MakeAdapter, sqlite_database: Database, clock: ManualClock
) -> None:
    folder = Path(make_adapter("kind").path)
    folder.rename(folder.with_name("moved"))
    set_champion(sqlite_database, "kind@1")
    reconciled.reconcile()
    folder.with_name("moved").rename(folder)
    reconciled.reconcile()
    assert proof(sqlite_database, "kind@1")[0] == "refused"
    clock.advance(61)
    reconciled.reconcile()
    assert proof(sqlite_database, "kind@1")[0] == "proven"


def test_an_unproven_promotion_leaves_the_predecessor_in_place(
    reconciled: Adapters, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    make_adapter("kind", 1, seed=1)
    _damage(Path(make_adapter("kind", 2, seed=2).path))
    set_champion(sqlite_database, "kind@2", "kind@1")
    reconciled.reconcile()
    assert route(reconciled.state, "plaudit", "someone", True) == Route("kind@1")


def test_with_nothing_proven_nothing_is_served(
    reconciled: Adapters, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    _damage(Path(make_adapter("kind", 1).path))
    set_champion(sqlite_database, "kind@1", "kind@1")
    reconciled.reconcile()
    with pytest.raises(NothingProven, match="kind@1"):
        route(reconciled.state, "plaudit", None, True)


def test_what_is_no_longer_wanted_leaves_in_two_passes(
    reconciled: Adapters, engine: LocalEngine, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    make_adapter("kind", 1, seed=1)
    make_adapter("kind", 2, seed=2)
    set_champion(sqlite_database, "kind@1")
    reconciled.reconcile()
    set_champion(sqlite_database, "kind@2")
    reconciled.reconcile()
    assert reconciled.state.servable == {"base", "kind@2"}
    assert engine.loaded() == {"base", "kind@1", "kind@2"}, "a request routed a moment ago must still find it"
    reconciled.reconcile()
    assert engine.loaded() == {"base", "kind@2"}
    assert proof(sqlite_database, "kind@1")[0] == "unloaded"


def test_a_restart_proves_everything_anew(
    engine: LocalEngine, make_adapter: MakeAdapter, sqlite_database: Database, clock: ManualClock
) -> None:
    folder = Path(make_adapter("kind").path)
    set_champion(sqlite_database, "kind@1")
    Adapters(engine, sqlite_database, clock, project=PROJECT, replica="r1").reconcile()
    assert proof(sqlite_database, "kind@1")[0] == "proven"
    _damage(folder)
    again = Adapters(engine, sqlite_database, clock, project=PROJECT, replica="r1")
    again.reconcile()
    assert proof(sqlite_database, "kind@1")[0] == "refused"
    assert again.state.servable == {"base"}


def test_the_arm_counts_only_when_both_adapters_are_proven(
    reconciled: Adapters, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    make_adapter("kind", 1, seed=1)
    start_experiment(sqlite_database, "kind@1")
    reconciled.reconcile()
    arms = {route(reconciled.state, "plaudit", f"user-{i}", True).arm for i in range(40)}
    assert arms == {"challenger", "control"}
    for i in range(40):
        taken = route(reconciled.state, "plaudit", f"user-{i}", True)
        assert (taken.adapter, taken.propensity, taken.phase) == (
            "kind@1" if taken.arm == "challenger" else "base",
            0.5,
            0,
        )
    assert route(reconciled.state, "plaudit", None, True) == Route("base")
    assert route(reconciled.state, "kind@1", "user-1", True) == Route("kind@1")
    assert route(reconciled.state, "plaudit", "user-1", False) == Route("base"), "a stale snapshot enters nobody"


def test_an_experiment_whose_challenger_is_refused_takes_nobody(
    reconciled: Adapters, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    _damage(Path(make_adapter("kind", 1).path))
    start_experiment(sqlite_database, "kind@1")
    reconciled.reconcile()
    assert {route(reconciled.state, "plaudit", f"user-{i}", True) for i in range(40)} == {Route("base")}


def test_swaps_under_load_fail_no_request(served: Served, make_adapter: MakeAdapter) -> None:
    make_adapter("kind", 1, seed=1)
    make_adapter("kind", 2, seed=2)
    database = served.context.database
    codes: list[int] = []
    adapters_seen: set[str] = set()
    stop = threading.Event()

    def ask(number: int) -> None:
        while not stop.is_set():
            response = served.chat(max_tokens=8, user=f"user-{number}")
            codes.append(response.status_code)
            adapters_seen.add(response.headers.get("x-plaudit-adapter", json.dumps(response.json())))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for ref in ("kind@1", "kind@2", "base"):
        set_champion(database, ref)
        wait_until(lambda ref=ref: served.chat(max_tokens=1).headers["x-plaudit-adapter"] == ref)  # type: ignore[misc]
    wait_until(lambda: served.models() == {"plaudit", "base"})
    stop.set()
    for thread in threads:
        thread.join()
    assert set(codes) == {200}
    assert {"kind@1", "kind@2", "base"} <= adapters_seen


def test_an_experiment_s_interactions_carry_arm_and_probability(served: Served, make_adapter: MakeAdapter) -> None:
    make_adapter("kind", 1, seed=1)
    start_experiment(served.context.database, "kind@1")
    wait_until(lambda: "kind@1" in served.models())
    for number in range(12):
        assert served.chat(max_tokens=2, user=f"user-{number}").status_code == 200
    logged = served.logged()
    assert {item.arm for item in logged} == {"challenger", "control"}
    assert {(item.experiment, item.propensity, item.phase) for item in logged} == {("e1", 0.5, 0)}
    assert all((item.adapter == "kind@1") == (item.arm == "challenger") for item in logged)


def test_what_the_trainer_fingerprints_is_served_bit_for_bit(tiny_model_dir: Path, tmp_path: Path) -> None:
    """In bf16 a merged copy lies about 0.05 nats a token from LoRA beside the base: trainer and engine must both merge,
    and merge alike, or small updates could never be proven."""
    base = load_folder(tiny_model_dir, device="cpu", dtype="bfloat16")
    make_tiny_lora(base, tmp_path / "a")
    policy = load_trainable(replace(base, model=copy_of(base.model)), tmp_path / "a")
    in_model_precision(policy, base.dtype)
    hashes = save_adapter(policy, base, tmp_path / "b")
    sampler = copy_of(base.model)
    merge_into(sampler, base.model, policy)
    verify_files(tmp_path / "b", hashes)
    assert measure(base, merged_copy(base, tmp_path / "b")).logprobs == measure(base, sampler).logprobs


def test_a_merged_adapter_with_nan_is_refused(
    reconciled: Adapters, make_adapter: MakeAdapter, sqlite_database: Database
) -> None:
    folder = Path(make_adapter("kind").path)
    tensors = load_file(folder / WEIGHTS_FILE)
    first = next(iter(tensors))
    tensors[first] = torch.full_like(tensors[first], float("nan"))
    save_file(tensors, folder / WEIGHTS_FILE)
    with sqlite_database.transaction() as connection:
        connection.execute(update(adapters).values(file_hashes=hash_folder(folder)))
    set_champion(sqlite_database, "kind@1")
    reconciled.reconcile()
    assert proof(sqlite_database, "kind@1")[1]["code"] == "adapter_corrupt"

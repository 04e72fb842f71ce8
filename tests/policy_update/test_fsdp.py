"""The policy's layers held in shards by two CPU processes give the loss and the gradients of one."""

import json
import multiprocessing
from pathlib import Path

import pytest

from tests.fixtures.helpers import free_port
from tests.policy_update.fsdp_child import run_sharded


@pytest.mark.full
@pytest.mark.timeout(180)
def test_sharded_layers_give_the_same_gradients(tmp_path: Path, tiny_model_dir: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.policy_update.training_child"])
    for name, size in (("one", 1), ("two", 2)):
        port = free_port()
        arguments = [(str(tiny_model_dir), str(tmp_path / name), rank, size, port) for rank in range(size)]
        children = [context.Process(target=run_sharded, args=given, daemon=True) for given in arguments]
        for child in children:
            child.start()
        for child in children:
            child.join(120)
        assert [child.exitcode for child in children] == [0] * size
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one", "two"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert one["gradients"].keys() == two["gradients"].keys()
    for name, gradient in one["gradients"].items():
        # Both processes computed the same rows, and the shards hold the mean over processes.
        assert two["gradients"][name] == pytest.approx(gradient, rel=1e-4, abs=1e-6), name

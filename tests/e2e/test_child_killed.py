"""A training child that is killed takes nothing with it: the gateway answers on, the run is failed, and tried again."""

import os
import signal
import time
from typing import Any

import pytest

from infra.runtime.processes import SEPARATOR
from tests.e2e.deployment import TRAININGS, Deployment
from tests.e2e.traffic import traffic
from tests.fixtures.helpers import wait_until

SURELY_TRAINING_SECONDS = 0.4
"""A run that is only skipped is over long before."""


@pytest.mark.timeout(300)
def test_killing_a_training_child_leaves_the_gateway_answering(running: Deployment) -> None:
    with traffic(running.url, seed=5) as crowd:
        victim = wait_until(lambda: training(running), 90.0, "a training")
        killed_at, before = time.time(), len(crowd.receipts.answers)
        os.kill(pid_of(victim), signal.SIGKILL)
        ended = wait_until(lambda: ended_run(running, victim["run_id"]), 60.0, "the record of its end")
        assert ended["status"] == "failed"
        assert "SIGKILL" in ended["detail"]
        wait_until(lambda: len(crowd.receipts.answers) > before + 5, 60.0, "answers after the kill")
        wait_until(lambda: running.runs(victim["job"], since=killed_at), 60.0, f"another run of {victim['job']}")
    assert crowd.receipts.retries == 0, "some request failed while the child died"
    assert running.up.alive()


def training(deployment: Deployment) -> Any:
    """A run that is training now, in a process of its own, if there is one."""
    under_way = [
        run
        for run in deployment.runs(*TRAININGS)
        if run["status"] == "running" and pid_of(run) != deployment.up.pid  # which only looks whether to train
    ]
    return next((run for run in under_way if time.time() - run["started_at"] > SURELY_TRAINING_SECONDS), None)


def pid_of(run: Any) -> int:
    """The process of a run, from the name of its lease's holder: host|boot|namespace|pid|start|run."""
    return int(run["holder"].split(SEPARATOR)[3])


def ended_run(deployment: Deployment, run_id: str) -> Any:
    return next((run for run in deployment.runs(*TRAININGS) if run["run_id"] == run_id and run["ended_at"]), None)

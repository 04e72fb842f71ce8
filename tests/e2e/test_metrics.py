"""`/metrics` of a running `plaudit up` is what Prometheus expects, and no traffic makes it grow."""

import shutil
import subprocess
import uuid
from typing import Any, get_args

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.metrics.label_values import BOUNDS
from serving.routing_state import Why
from tests.e2e.deployment import Deployment

pytestmark = pytest.mark.timeout(400)
ODD = 120
"""Different things sent where a careless label would keep each: more than any bound but that of partitions."""


def test_promtool_finds_nothing_to_complain_of(running: Deployment) -> None:
    promtool, curl = shutil.which("promtool"), shutil.which("curl")
    if promtool is None or curl is None:
        pytest.skip("promtool or curl is not installed: `scripts/install-test-tools` as root on Debian or Ubuntu")
    exposed = subprocess.run([curl, "-sf", f"{running.url}/metrics"], capture_output=True, check=True).stdout
    assert b'plaudit_component_ready{component="adapter"} 1.0' in exposed
    for known in (b"plaudit_serving_queue_rows ", b"plaudit_serving_champion_proven 1.0", b"plaudit_build_info{"):
        assert b"\n" + known in exposed
    checked = subprocess.run([promtool, "check", "metrics"], input=exposed, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_odd_traffic_makes_no_series_of_its_own(running: Deployment) -> None:
    with httpx.Client(base_url=running.url, timeout=60.0) as client:
        for number in range(ODD):
            odd = f"odd-{uuid.uuid4()}"
            client.post("/v1/chat/completions", json={"model": odd, "user": odd, "messages": []})
            event: dict[str, Any] = {"event_id": odd, "response_id": odd, "signal": odd, "created_at": -number}
            client.post("/v1/feedback", json=[event, {**event, "event_id": str(uuid.uuid4())}])
            client.post(f"/v1/{odd}", content=odd.encode())
        text = client.get("/metrics").text
    assert "odd-" not in text
    for label, values in values_of(text).items():
        bound = BOUNDS[label]
        assert len(values) <= bound.most, f"{label}: {sorted(values)}"
        assert bound.values is None or values <= bound.values, label
    assert values_of(text).get("why", set()) <= set(get_args(Why))


def values_of(text: str) -> dict[str, set[str]]:
    """Label -> everything it says in an exposition; edges of buckets left out."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label != "le":
                    found.setdefault(label, set()).add(value)
    return found

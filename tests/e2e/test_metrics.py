"""`/metrics` of a running `plaudit up` is what Prometheus expects."""

import shutil
import subprocess

import pytest

from tests.e2e.deployment import Deployment

pytestmark = pytest.mark.timeout(240)


def test_promtool_finds_nothing_to_complain_of(running: Deployment) -> None:
    promtool, curl = shutil.which("promtool"), shutil.which("curl")
    if promtool is None or curl is None:
        pytest.skip("promtool or curl is not installed: `scripts/install-test-tools` as root on Debian or Ubuntu")
    exposed = subprocess.run([curl, "-sf", f"{running.url}/metrics"], capture_output=True, check=True).stdout
    assert b'plaudit_component_ready{component="adapter"} 1.0' in exposed
    checked = subprocess.run([promtool, "check", "metrics"], input=exposed, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")

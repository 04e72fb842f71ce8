"""What README.md tells a newcomer to type does what it says, against a running `plaudit up`."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.settings import Settings
from tests.e2e.deployment import Deployment
from tests.fixtures.helpers import wait_until

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(400)


def blocks(language: str) -> list[str]:
    """The fenced code blocks of README.md in that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_the_walk(running: Deployment) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: `scripts/install-test-tools` as root on Debian or Ubuntu")
    (client,) = blocks("python")
    for call in ("models.list", "stream=True", "chat.completions.create"):
        assert call in client
    said = typed([sys.executable, "-c", on_port(client, running)])
    models, *_, response_id = said.splitlines()
    assert models == "['plaudit', 'base']"
    assert response_id.startswith("chatcmpl-")

    feedback, label = (on_port(block, running).replace("RESPONSE_ID", response_id) for block in blocks("sh"))
    taken = json.loads(typed(["bash", "-c", feedback]))
    assert [result["status"] for result in taken["results"]] == ["accepted", "accepted"]
    made = wait_until(lambda: liked(label), 60.0, "the label", 0.1)
    assert made["response_id"] == response_id
    assert made["events_counted"] == 2


def on_port(block: str, deployment: Deployment) -> str:
    """The block, aimed at the port and the Python of the test."""
    default = f"127.0.0.1:{Settings().serving.port}"
    assert default in block
    return block.replace(default, f"127.0.0.1:{deployment.up.port}").replace(".venv/bin/python", sys.executable)


def typed(command: list[str]) -> str:
    """What the command prints. Proxies of the machine are not asked for addresses of its own."""
    environment = {**os.environ, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stderr
    return done.stdout


def liked(label: str) -> Any:
    document = json.loads(typed(["bash", "-c", label]))
    return document if document.get("values", {}).get("love") == 1.0 else None

"""The deployment files as the tools that read them see them: Helm's engine and Docker Compose."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "infra" / "deploy"
CHART = DEPLOY / "chart" / "plaudit"
Document = dict[str, Any]

EVERYTHING: Document = {
    "serviceMonitor": {"enabled": True, "labels": {"release": "monitoring"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "host": "plaudit.example",
        "tlsSecretName": "tls",
        "console": True,
        "trustedProxies": "10.0.0.0/8",
    },
    "training": {"gpus": 4, "nodeSelector": {"pool": "gpu"}},
    "gateway": {"gpus": 1, "flavour": "cuda"},
    "secrets": {
        "kafkaPassword": {"name": "kafka", "key": "password"},
        "more": {
            f"PLAUDIT_{name}": {"name": "plaudit", "key": "k"}
            for name in ("PREVIOUS_USER_KEY_SECRETS", "CONSOLE__SESSION_SECRET", "SERVING__ENGINE__VLLM__API_KEY")
        },
    },
    "shared": {"existingClaim": "kept"},
    "imagePullSecrets": [{"name": "pull"}],
    "consumer": {"autoscaling": {"enabled": False}},
    "podAnnotations": {"example/one": "x"},
    "backup": {"enabled": True, "claim": "backups"},
    "vllm": {"enabled": True, "model": "organisation/model"},
}
"""Values that switch on what is off by default."""

_PROGRAM = """
import json, sys
import helm_python as helm
path, values = sys.argv[1], json.loads(sys.argv[2])
with helm.Chart.load(path) as chart:
    try:
        print(json.dumps({"files": chart.render(values, name="demo", namespace="prod"), "lint": helm.lint(path)}))
    except helm.HelmError as error:
        print(json.dumps({"error": str(error)}))
"""


@cache
def _helm(values: str) -> Document:
    """Rendered in a process of its own: Helm brings Go's runtime."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(CHART), values], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    answer: Document = json.loads(done.stdout)
    return answer


def rendered(**values: Any) -> list[Document]:
    """Every object of the chart."""
    answer = _helm(json.dumps(values))
    assert "error" not in answer, answer["error"]
    texts = [text for name, text in answer["files"].items() if name.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def refusal(**values: Any) -> str:
    """Why Helm does not take these values."""
    return str(_helm(json.dumps(values)).get("error", ""))


def lint() -> Document:
    """What Helm's linter says."""
    found: Document = _helm("{}")["lint"]
    return found


def of_kind(documents: list[Document], kind: str) -> dict[str, Document]:
    """Objects of a kind by name."""
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """(name of the object, specification of its pods) of everything that runs."""
    for one in documents:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield name, one["spec"]["template"]["spec"]
        elif one["kind"] == "CronJob":
            yield name, one["spec"]["jobTemplate"]["spec"]["template"]["spec"]


SECRETS = {"PLAUDIT_USER_KEY_SECRET": "s" * 32, "POSTGRES_PASSWORD": "p", "GRAFANA_PASSWORD": "g"}


@cache
def compose(*more: str) -> Document:
    """The services as Docker Compose reads the files: checked against its schema, with variables put in."""
    files = [argument for name in ("compose.yaml", *more) for argument in ("--file", str(DEPLOY / name))]
    tool = Path(sys.executable).with_name("docker-compose")
    done = subprocess.run(
        [str(tool), *files, "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **SECRETS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: Document = json.loads(done.stdout)
    return document

"""How people reach the chart's services, and how its secrets reach the processes: ingress, console, doctor."""

import json

import pytest

from infra.settings import Settings
from infra.settings.tree import leaves
from plaudit.production import production_checks
from tests.infra.deploy.code import check_command, operational_paths, settings_from
from tests.infra.deploy.files import CHART, EVERYTHING, ROOT, of_kind, pods, rendered


def test_the_doctor_in_a_pod_judges_what_listens_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway listens on every address of its pod: its settings say so, not only its arguments."""
    documents = rendered()
    (container,) = of_kind(documents, "StatefulSet")["demo-gateway"]["spec"]["template"]["spec"]["containers"]
    secret = "postgresql+psycopg://u:p@host/d"
    environment = {**of_kind(documents, "ConfigMap")["demo-config"]["data"], "PLAUDIT_STORE__URL": secret}
    settings = settings_from(environment, monkeypatch)
    assert settings.serving.host == check_command(container["args"])["host"] == "0.0.0.0"
    found = {name: check(settings).status for name, check in production_checks() if name in ("console", "TLS")}
    assert found == {"console": "ok", "TLS": "note"}
    bare = settings_from({"PLAUDIT_SERVING__HOST": "0.0.0.0"}, monkeypatch)
    assert dict(production_checks())["console"](bare).status == "fail"


def test_limits_by_address_see_who_called_through_the_ingress() -> None:
    import uvicorn

    documents = rendered(**EVERYTHING)
    for name in ("demo-gateway", "demo-feedback-api"):
        (container,) = of_kind(documents, "StatefulSet")[name]["spec"]["template"]["spec"]["containers"]
        given = {one["name"]: one.get("value") for one in container["env"]}
        assert given["FORWARDED_ALLOW_IPS"] == "10.0.0.0/8"
    # Both services run on uvicorn with its default, which reads that variable.
    assert uvicorn.Config(lambda: None).proxy_headers is True


def test_every_secret_setting_comes_by_reference_and_by_no_value() -> None:
    variables = {f"PLAUDIT_{leaf.name.upper().replace('.', '__')}" for leaf in leaves(Settings) if leaf.secret}
    assert "PLAUDIT_PREVIOUS_USER_KEY_SECRETS" in variables
    schema = json.loads((CHART / "values.schema.json").read_text())
    refused = {name for one in schema["properties"]["config"]["not"]["anyOf"] for name in one["required"]}
    assert refused == variables | {"PLAUDIT_STORE__URL"}, "that a value of these is refused is tried in test_chart.py"
    (pod,) = [pod for name, pod in pods(rendered(**EVERYTHING)) if name == "Deployment demo-consumer"]
    referenced = {one["name"] for one in pod["containers"][0]["env"] if "valueFrom" in one}
    assert referenced >= variables


def test_the_ingress_sends_each_path_to_who_serves_it() -> None:
    (ingress,) = of_kind(rendered(**EVERYTHING), "Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    paths = {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
    assert paths == {
        "/v1/feedback": "demo-feedback-api",
        "/v1/interactions": "demo-feedback-api",
        "/v1/labels": "demo-feedback-api",
        "/feedback": "demo-feedback-api",
        "/api/public": "demo-feedback-api",
        "/v1": "demo-gateway",
        "/console": "demo-gateway",
    }
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    routes = [path for path in document["paths"] if path not in operational_paths() | {"/openapi.json"}]
    assert len(routes) > 8
    for route in routes:
        (longest,) = sorted((path for path in paths if route.startswith(path)), key=len)[-1:]
        assert paths[longest] == "demo-feedback-api", route
    (closed,) = of_kind(rendered(ingress={**EVERYTHING["ingress"], "console": False}), "Ingress").values()
    assert "/console" not in {path["path"] for path in closed["spec"]["rules"][0]["http"]["paths"]}
    assert ingress["spec"]["tls"] == [{"hosts": ["plaudit.example"], "secretName": "tls"}]

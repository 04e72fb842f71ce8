"""compose.yaml as Docker Compose reads it, held against the code."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.contracts.errors import PlauditError
from infra.settings import Settings
from plaudit.monitoring.rules import alerts
from tests.infra.deploy.code import check_command, operational_paths, settings_from
from tests.infra.deploy.files import DEPLOY, SECRETS, Document, compose

OURS = {"migrate", "gateway", "feedback-api", "consumer", "scheduler"}
THEIRS = {"kafka", "postgres", "mlflow", "prometheus", "alertmanager", "grafana"}


def test_the_whole_system_is_there() -> None:
    assert set(compose()["services"]) == OURS | THEIRS


@pytest.mark.parametrize("name", sorted(OURS))
def test_commands_settings_and_probes_are_those_of_the_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = compose()["services"][name]
    given = check_command(service["command"])
    settings = settings_from(service["environment"], monkeypatch)
    assert settings.event_log.kind == "kafka"
    assert settings.access.require_keys
    kafka = compose()["services"]["kafka"]["environment"]
    assert settings.event_log.bootstrap_servers == kafka["KAFKA_ADVERTISED_LISTENERS"].removeprefix("PLAINTEXT://")
    assert settings.event_log.replication_factor == 1, "one broker"
    assert settings.serving.host == "0.0.0.0", "what `plaudit doctor --production` in the container judges"
    if "healthcheck" in service:
        (url,) = re.findall(r"http://localhost:(\d+)(/\w+)", " ".join(service["healthcheck"]["test"]))
        assert int(url[0]) == (given.get("operations_port") or given["port"])
        assert url[1] in operational_paths()
    for published in service.get("ports", []):
        assert published["target"] == given["port"]
        assert published["host_ip"] == "127.0.0.1", "whoever opens it puts TLS in front"


def test_every_process_is_confined() -> None:
    for name in OURS | {"mlflow"}:
        service = compose()["services"][name]
        assert service["read_only"] is True, name
        assert service["user"] == "10001:10001", name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name


def test_the_registry_is_where_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = compose()["services"]["mlflow"]
    settings = settings_from(compose()["services"]["scheduler"]["environment"], monkeypatch)
    assert settings.registry.tracking_uri == "http://mlflow:5000"
    assert "--port=5000" in mlflow["command"]
    assert any(word.startswith("--allowed-hosts=mlflow:5000") for word in mlflow["command"])
    database = next(word for word in mlflow["command"] if word.startswith("--backend-store-uri="))
    made = (DEPLOY / "compose" / "databases.sql").read_text()
    assert f"CREATE DATABASE {database.rpartition('/')[2]};" in made


@pytest.mark.full
def test_mlflow_has_the_options_it_is_given() -> None:
    words = compose()["services"]["mlflow"]["command"]
    tool = Path(sys.executable).with_name("mlflow")
    told = subprocess.run([str(tool), words[0], "--help"], capture_output=True, text=True, check=True).stdout
    options = {word.partition("=")[0] for word in words[1:]}
    assert [option for option in sorted(options) if option not in told] == []


def test_what_is_mounted_is_there() -> None:
    mounts = [mount for one in compose()["services"].values() for mount in one.get("volumes", [])]
    bound = {mount["source"] for mount in mounts if mount["type"] == "bind"}
    assert bound
    assert [path for path in bound if not (DEPLOY / path).exists()] == []
    named = {mount["source"] for mount in mounts if mount["type"] == "volume"}
    assert named == set(compose()["volumes"])


def test_prometheus_scrapes_what_listens() -> None:
    config: Document = yaml.safe_load((DEPLOY / "prometheus" / "scrape.yml").read_text())
    scraped = {
        name: target["port"]
        for job in config["scrape_configs"]
        for target in job["dns_sd_configs"]
        for name in target["names"]
    }
    listening = {}
    for name in OURS - {"migrate"}:
        given = check_command(compose()["services"][name]["command"])
        listening[name] = given.get("operations_port") or given["port"]
    assert scraped == listening
    command = compose()["services"]["prometheus"]["command"]
    assert "--config.file=/etc/prometheus/scrape.yml" in command
    (alerts,) = config["alerting"]["alertmanagers"]
    assert alerts["static_configs"] == [{"targets": ["alertmanager:9093"]}]


def test_what_alertmanager_holds_back_are_alerts_there_are() -> None:
    config = yaml.safe_load((DEPLOY / "compose" / "alertmanager.yml").read_text())
    known = {alert.name for alert in alerts(Settings())}
    for rule in config["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, values = re.fullmatch(r'(\w+)=~?"(.+)"', matcher).groups()  # type: ignore[union-attr]
            assert label == "job" or set(values.split("|")) <= known, matcher
    # A rule on severities with equal names would hold back nothing: an alert has one severity.
    assert not any("severity" in str(rule) for rule in config["inhibit_rules"])
    assert config["route"]["receiver"] in {one["name"] for one in config["receivers"]}


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    grafana = compose()["services"]["grafana"]
    targets = {mount["target"] for mount in grafana["volumes"]}
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/plaudit.yml").read_text())["providers"][0]
    assert provider["options"]["path"] in targets
    (source,) = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"


def test_a_gpu_goes_to_who_generates_and_trains() -> None:
    services = compose("compose.gpu.yaml")["services"]
    for name in ("gateway", "scheduler"):
        assert services[name]["image"] == "plaudit:cuda"
        assert services[name]["build"]["target"] == "cuda"
        assert services[name]["command"] == compose()["services"][name]["command"]
        (device,) = services[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
    assert services["consumer"]["image"] == "plaudit:cpu"


def test_every_variable_is_in_the_example() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{([A-Z_]+)", text))
    offered = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / "compose" / "env.example").read_text(), re.MULTILINE))
    assert asked == offered
    assert set(SECRETS) <= set(re.findall(r"\$\{([A-Z_]+):\?", text)), "a secret has no default"


@pytest.mark.parametrize("line", ["ingest consumer", "serve --prot 1", "serve --port x", "jobs run"])
def test_an_unknown_command_would_show(line: str) -> None:
    with pytest.raises(Exception, match=r"consumer|--prot|valid integer|Missing parameter"):
        check_command(line.split())


def test_an_unknown_setting_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: dict[str, Any] = {**compose()["services"]["gateway"]["environment"], "PLAUDIT_SERVING__PROT": "1"}
    with pytest.raises(PlauditError, match="PROT"):
        settings_from(wrong, monkeypatch)

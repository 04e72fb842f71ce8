"""The Helm chart, rendered by Helm's own engine: valid for Kubernetes, safe, and true to the code."""

import datetime
import re
from itertools import pairwise
from typing import Any

import kubernetes_validate
import pytest
import yaml
from apscheduler.triggers.cron import CronTrigger

from infra.metrics.catalogue import REGISTRY
from infra.settings import load_settings
from plaudit.jobs import all_jobs
from tests.infra.deploy.code import check_command, operational_paths, settings_from
from tests.infra.deploy.files import DEPLOY, EVERYTHING, ROOT, Document, lint, of_kind, pods, refusal, rendered

KUBERNETES = "1.33"
STANDARD_LABELS = {
    f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "version", "part-of", "managed-by")
}


@pytest.fixture(params=[{}, EVERYTHING], ids=["default", "everything"])
def documents(request: pytest.FixtureRequest) -> list[Document]:
    return rendered(**request.param)


def ours(documents: list[Document]) -> list[tuple[str, Document]]:
    """What runs Plaudit's own image."""
    return [(name, pod) for name, pod in pods(documents) if not name.endswith("vllm")]


def test_helm_finds_nothing_wrong() -> None:
    assert lint()["errors"] == []
    assert {message["error"] for message in lint()["messages"]} <= {"icon is recommended"}


@pytest.mark.parametrize(
    "documents", [pytest.param({}, marks=pytest.mark.full), EVERYTHING], indirect=True, ids=["default", "everything"]
)
def test_every_object_is_valid_for_kubernetes(documents: list[Document]) -> None:
    assert len(documents) > 30
    for document in documents:
        if document["apiVersion"].startswith("monitoring.coreos.com"):
            continue  # of Prometheus' operator: looked at below
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_validation_can_fail() -> None:
    broken = of_kind(rendered(), "CronJob")["demo-job-label"]
    broken = {**broken, "spec": {**broken["spec"], "concurencyPolicy": "Forbid"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_names_are_unique_and_labels_are_the_standard_ones(documents: list[Document]) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in documents]
    assert len(names) == len(set(names))
    for one in documents:
        assert set(one["metadata"]["labels"]) >= STANDARD_LABELS, one["metadata"]["name"]


def test_nothing_runs_as_root_or_writes_where_it_should_not(documents: list[Document]) -> None:
    for name, pod in pods(documents):
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            security = container["securityContext"]
            assert (security["readOnlyRootFilesystem"], security["allowPrivilegeEscalation"]) == (True, False), name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name
            mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
            if container["name"] != "vllm":
                assert {"/tmp", "/data"} <= mounted, f"{name}: what the image sets must be writable"
        volumes = {volume["name"] for volume in pod["volumes"]} | {"disk"}
        assert {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]} <= volumes


def test_every_command_exists_with_its_options(documents: list[Document]) -> None:
    seen = set()
    for name, pod in ours(documents):
        (container,) = pod["containers"]
        if container["name"] == "backup":
            words = re.sub(r"\$\(.+\)", "now", container["command"][2]).removeprefix("exec plaudit ").split()
        elif "command" in container:
            launcher, _launch, *rest = container["command"]
            words = rest[rest.index("plaudit") + 1 :]
            assert (launcher, rest[:2]) == ("accelerate", ["--num_processes", "4"]), name
        else:
            words = container["args"]
        check_command(words)
        seen.add(" ".join(words[:2]))
    assert seen >= {"migrate", "serve --host", "ingest api", "ingest consume", "jobs schedule", "jobs run"}


def test_every_declared_job_runs_and_no_other() -> None:
    settings, jobs = load_settings(), {job.name: job for job in all_jobs()}
    documents = rendered()
    crons = {name.removeprefix("demo-job-"): one for name, one in of_kind(documents, "CronJob").items()}
    (scheduler,) = of_kind(documents, "Deployment")["demo-scheduler"]["spec"]["template"]["spec"]["containers"]
    scheduled = check_command(scheduler["args"])["names"]
    assert isinstance(scheduled, list)
    assert sorted([*crons, *scheduled]) == sorted(jobs)
    assert all(jobs[name].every_seconds(settings) < 60 for name in scheduled), "a CronJob could do it"
    for name, cron in crons.items():
        spec, job = cron["spec"], jobs[name]
        assert (spec["concurrencyPolicy"], spec["startingDeadlineSeconds"] > 0) == ("Forbid", True), name
        assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == job.deadline_seconds + 120, name
        assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0, name
        assert period(spec["schedule"]) == job.every_seconds(settings), name


def period(schedule: str) -> float:
    """Seconds between the starts of a cron schedule, which must all be as far apart."""
    trigger, at = (
        CronTrigger.from_crontab(schedule, timezone=datetime.UTC),
        datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    )
    fires: list[Any] = []
    for _ in range(5):
        at = trigger.get_next_fire_time(fires[-1] if fires else None, at + datetime.timedelta(seconds=bool(fires)))
        fires.append(at)
    (apart,) = {(later - before).total_seconds() for before, later in pairwise(fires)}
    return float(apart)


def test_gateways_know_every_vllm_server_and_nobody_else_reaches_them(monkeypatch: pytest.MonkeyPatch) -> None:
    documents = rendered(**EVERYTHING)
    server, gateway = (of_kind(documents, "StatefulSet")[f"demo-{name}"] for name in ("vllm", "gateway"))
    (container,) = gateway["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one["value"] for one in container["env"] if "value" in one}
    engine = settings_from(given, monkeypatch).serving.engine
    assert engine.kind == "vllm"
    names = [f"{server['metadata']['name']}-{number}.{server['spec']['serviceName']}" for number in range(2)]
    assert engine.vllm.urls == tuple(f"http://{name}:8000" for name in names)
    (vllm,) = server["spec"]["template"]["spec"]["containers"]
    assert {"name": "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "value": "True"} in vllm["env"]
    told = (ROOT / "docs" / "serving.md").read_text()
    for option in (word.partition("=")[0] for word in vllm["args"]):
        assert option in told or option in ("--model", "--port"), f"docs/serving.md does not speak of {option}"
    adapters = {mount["mountPath"] for mount in vllm["volumeMounts"]} & {
        mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "shared"
    }
    assert adapters == {"/data/adapters"}, "the server sees adapters under the path that the gateway names"
    (rule,) = of_kind(documents, "NetworkPolicy")["demo-vllm"]["spec"]["ingress"]
    (caller,) = rule["from"]
    assert caller["podSelector"]["matchLabels"].items() <= gateway["spec"]["template"]["metadata"]["labels"].items()
    assert "vllm.model" in refusal(vllm={"enabled": True})


def test_the_operator_of_prometheus_gets_the_same_rules() -> None:
    (rule,) = of_kind(rendered(**EVERYTHING), "PrometheusRule").values()
    assert rule["spec"] == yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    assert rule["spec"]["groups"]
    assert rule["metadata"]["labels"]["release"] == "monitoring"


def test_trainings_get_the_gpus_and_the_image_for_them() -> None:
    crons = of_kind(rendered(**EVERYTHING), "CronJob")
    for name in ("demo-job-policy-update", "demo-job-reward-model"):
        pod = crons[name]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"].endswith("-cuda")
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 4
        assert pod["nodeSelector"] == {"pool": "gpu"}
    (light,) = crons["demo-job-label"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert light["image"].endswith("-cpu")
    without = of_kind(rendered(training={"gpus": 0}), "CronJob")["demo-job-policy-update"]
    (container,) = without["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith("-cpu")


def test_every_setting_exists_and_no_secret_stands_in_a_value(
    documents: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = of_kind(documents, "ConfigMap")
    assert config["demo-config"]["data"] == config["demo-migrate"]["data"]
    for _name, pod in ours(documents):
        (container,) = pod["containers"]
        references = {one["name"]: one["valueFrom"] for one in container["env"] if "valueFrom" in one}
        assert {"PLAUDIT_STORE__URL", "PLAUDIT_USER_KEY_SECRET"} <= references.keys()
        secret = {name for name, source in references.items() if "secretKeyRef" in source}
        values = {name: "postgresql://u:p@host/d" if name.endswith("URL") else "x" for name in secret}
        own = dict.fromkeys(references.keys() - secret, "pod-0")
        settings = settings_from({**config["demo-config"]["data"], **values, **own}, monkeypatch)
        assert settings.store.url
        assert settings.access.require_keys
        assert settings.event_log.replication_factor == 3


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"config": {"PLAUDIT_USER_KEY_SECRET": "hunter2"}}, "not"),
        ({"secrets": {"storeUrl": {"name": "", "key": "x"}}}, "storeUrl"),
        ({"gateway": {"replicas": 0}}, "replicas"),
        ({"jobs": {"label": {"schedule": "@hourly"}}}, "schedule"),
        ({"gateway": {"replica": 3}}, "replica"),
        ({"ingress": {"enabled": True, "host": "h"}}, "TLS"),
    ],
)
def test_values_that_would_go_wrong_are_refused(values: Document, named: str) -> None:
    assert named in refusal(**values)


def test_ports_and_probes_lead_to_what_listens(documents: list[Document]) -> None:
    services = of_kind(documents, "Service")
    for kind in ("StatefulSet", "Deployment"):
        for name, one in of_kind(documents, kind).items():
            if name == "demo-vllm":
                continue
            (container,) = one["spec"]["template"]["spec"]["containers"]
            given = check_command(container["args"])
            port = given.get("operations_port") or given["port"]
            host = given.get("operations_host") or given["host"]
            (declared,) = container["ports"]
            assert (declared["containerPort"], host) == (port, "0.0.0.0"), name
            (served,) = services[name]["spec"]["ports"]
            assert (served["port"], served["targetPort"]) == (port, declared["name"]), name
            assert services[name]["spec"]["selector"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container[probe]["httpGet"]
                assert asked["port"] == declared["name"], name
                assert asked["path"] in operational_paths(), name
            assert container["livenessProbe"]["httpGet"]["path"] == "/livez", "liveness depends on nobody else"
            assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_replicas_are_kept_when_nodes_go(documents: list[Document]) -> None:
    budgets = of_kind(documents, "PodDisruptionBudget")
    assert set(budgets) == set(of_kind(documents, "Deployment")) | set(of_kind(documents, "StatefulSet"))
    for budget in budgets.values():
        assert budget["spec"]["maxUnavailable"] == 1


def test_autoscalers_ask_for_metrics_there_are(documents: list[Document]) -> None:
    known = {family.name for family in REGISTRY.collect()}
    for name, one in of_kind(documents, "HorizontalPodAutoscaler").items():
        for metric in one["spec"]["metrics"]:
            if metric["type"] == "Pods":
                assert metric["pods"]["metric"]["name"] in known, name
    on = of_kind(rendered(), "HorizontalPodAutoscaler")
    asked = {name: one["spec"]["metrics"][0].get("pods", {}).get("metric", {}).get("name") for name, one in on.items()}
    assert asked["demo-gateway"] == "plaudit_serving_queue_rows"
    assert asked["demo-consumer"] == "plaudit_ingest_consumer_lag_records"


def test_a_network_policy_covers_every_pod_and_monitors_find_services() -> None:
    documents = rendered(**EVERYTHING)
    policies = of_kind(documents, "NetworkPolicy")
    assert policies["demo-closed"]["spec"]["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/name": "plaudit",
        "app.kubernetes.io/instance": "demo",
    }
    assert "ingress" not in policies["demo-closed"]["spec"]
    services = of_kind(documents, "Service")
    monitors = of_kind(documents, "ServiceMonitor")
    assert set(monitors) == set(services) - {"demo-vllm"}
    for name, monitor in monitors.items():
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] == services[name]["spec"]["ports"][0]["name"]
        assert endpoint["path"] in operational_paths()
        assert monitor["spec"]["selector"]["matchLabels"].items() <= services[name]["metadata"]["labels"].items()
        assert monitor["metadata"]["labels"]["release"] == "monitoring"

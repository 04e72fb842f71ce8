from starlette.applications import Starlette
from starlette.testclient import TestClient

from infra.metrics import catalogue
from infra.runtime import Context, Health, Job, JobOutcome, run_job
from infra.runtime.http import operations_routes
from infra.runtime.reporting import refresh_job_metrics


def test_ready_while_every_check_passes() -> None:
    health = Health()
    wrong: list[str] = []
    health.add("store", lambda: wrong[0] if wrong else None)
    client = TestClient(Starlette(routes=operations_routes(health)))
    assert client.get("/readyz").json() == {"status": "ready", "checks": {"store": None}}
    wrong.append("the disk is full; free some")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]) == (503, {"store": "the disk is full; free some"})
    assert catalogue.COMPONENT_READY.labels(component="store")._value.get() == 0
    health.remove("store")
    assert client.get("/readyz").status_code == 200


def test_a_check_that_raises_is_not_ready() -> None:
    health = Health()
    health.add("broken", lambda: str(1 // 0))
    readiness = health.readiness()
    assert not readiness.ready
    assert readiness.checks == {"broken": "ZeroDivisionError: integer division or modulo by zero"}


def test_alive_asks_nobody() -> None:
    health = Health()
    health.add("broken", lambda: str(1 // 0))
    answer = TestClient(Starlette(routes=operations_routes(health))).get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_draining_is_not_ready_but_alive() -> None:
    health = Health()
    client = TestClient(Starlette(routes=operations_routes(health)))
    assert client.get("/readyz").status_code == 200
    health.drain()
    assert client.get("/readyz").json()["checks"] == {"process": "shutting down"}
    assert client.get("/healthz").status_code == 200


def test_metrics_of_jobs_come_from_the_store(context: Context) -> None:
    run_job(context, Job("scraped", lambda _: JobOutcome.done(), lambda _: 1.0, 5.0))
    client = TestClient(Starlette(routes=operations_routes(Health(), [lambda: refresh_job_metrics(context)])))
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'plaudit_job_last_success_timestamp_seconds{job_name="scraped"} 1.7e+09' in answer.text
    assert 'plaudit_job_runs_total{job_name="scraped",outcome="done"}' in answer.text


def test_a_scrape_survives_a_store_that_is_down() -> None:
    def broken() -> None:
        raise ConnectionError("gone")

    answer = TestClient(Starlette(routes=operations_routes(Health(), [broken]))).get("/metrics")
    assert answer.status_code == 200
    assert "plaudit_" in answer.text

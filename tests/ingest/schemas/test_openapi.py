"""The document says what the application does: same routes, same bodies, same statuses; and it stands in the docs."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from starlette.routing import Route
from starlette.testclient import TestClient

from infra.runtime import Health
from infra.runtime.http import operations_routes
from ingest.api import build_app, routes
from ingest.rules import RULES
from ingest.schemas.components import components, json_schema, signals
from ingest.schemas.openapi import document, encoded
from ingest.service import IngestService
from tests.ingest.schemas.bodies import BAD_EVENTS, GOOD_EVENTS

if TYPE_CHECKING:
    from infra.runtime import Context

COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"
REMEDY = "run: plaudit ingest openapi > docs/openapi.json"


def test_the_committed_copy_is_true() -> None:
    assert COMMITTED.read_bytes() == encoded(), REMEDY


def test_every_route_is_described_and_every_description_has_its_route(sqlite_context: "Context") -> None:
    served = [*routes(IngestService(sqlite_context)), *operations_routes(Health())]
    real = {
        (route.path, method.lower())
        for route in served
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    described = {(path, method) for path, operations in document()["paths"].items() for method in operations}
    assert real == described


def test_it_is_served(sqlite_context: "Context") -> None:
    with TestClient(build_app(sqlite_context)) as client:
        answer = client.get("/openapi.json")
    assert (answer.status_code, answer.content) == (200, encoded())
    assert answer.headers["content-type"] == "application/json"


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    text = json.dumps(document())
    names = components().keys()
    assert set(re.findall(r'"#/components/schemas/(\w+)"', text)) <= names
    for name in names:
        jsonschema_rs.meta.validate(json_schema(name))


@pytest.mark.parametrize("event", GOOD_EVENTS, ids=lambda event: str(event["signal"]))
def test_what_the_schema_allows_the_api_takes(event: dict[str, Any], sqlite_context: "Context") -> None:
    jsonschema_rs.validate(json_schema("WireEvent"), event)
    with TestClient(build_app(sqlite_context)) as client:
        assert client.post("/v1/feedback", json=event).status_code == 202


@pytest.mark.parametrize("event", BAD_EVENTS, ids=lambda event: str(sorted(event.items()))[:40])
def test_what_the_schema_forbids_the_api_refuses(event: dict[str, Any], sqlite_context: "Context") -> None:
    assert not jsonschema_rs.is_valid(json_schema("WireEvent"), event)
    with TestClient(build_app(sqlite_context)) as client:
        assert client.post("/v1/feedback", json=event).status_code == 422


def test_the_table_of_signals_is_the_rules() -> None:
    assert signals().keys() == RULES.keys()
    assert signals()["dwell"] == {"value": [0.0, 86400.0], "needs": ["value"], "text": False, "other": False}
    assert signals()["duel"]["other"]

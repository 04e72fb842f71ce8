"""Requests made from the OpenAPI document, right ones and wrong ones, against the real application: nothing breaks it,
and it never answers with a status, a media type or a body that the document does not know.

Schemathesis is driven through its strategies; its pytest plugin reads an attribute that test items of pytest 9.2 no
longer have.
"""

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from ingest.api import build_app
from ingest.schemas.openapi import document

if TYPE_CHECKING:
    from infra.runtime import Context

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OPERATIONS = [(method.upper(), path) for path, operations in document()["paths"].items() for method in operations]
QUICK, THOROUGH = (
    settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    for examples in (10, 100)
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{method} {path}" for method, path in OPERATIONS])
@pytest.mark.parametrize("bounds", [QUICK, pytest.param(THOROUGH, marks=pytest.mark.full)], ids=["quick", "thorough"])
def test_the_api_does_what_its_document_says(
    method: str, path: str, mode: GenerationMode, bounds: settings, sqlite_context: "Context"
) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", build_app(sqlite_context))
    operation = described[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
        return  # there is no wrong way to ask

    @seed(20261121)
    @bounds
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Any) -> None:
        case.call_and_validate(checks=CHECKS)

    holds()


@pytest.mark.parametrize("path", document()["paths"], ids=str)
def test_other_methods_are_405_and_say_which_are_right(path: str, sqlite_context: "Context") -> None:
    right = {method.upper() for method in document()["paths"][path]}
    with TestClient(build_app(sqlite_context)) as client:
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - right:
            answer = client.request(method, path.replace("{", "").replace("}", ""))
            assert answer.status_code == 405, method
            assert right <= set(answer.headers["allow"].split(", "))

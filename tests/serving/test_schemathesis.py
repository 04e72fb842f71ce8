"""Requests made from the OpenAPI document, right ones and wrong ones, against the running gateway and the feedback API
beside it: no 5xx, nothing undocumented; what the document allows is answered, what it forbids is refused.

Schemathesis is driven through its strategies; its pytest plugin reads an attribute that test items of pytest 9.2 no
longer have.
"""

import json
from typing import Any

import jsonschema_rs
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

from infra.settings.access import AccessSettings
from infra.settings.serving import ServingSettings
from serving.openapi import EVENTS, document
from tests.serving.shop import Shop

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
OURS = [
    (method.upper(), path)
    for path, operations in document()["paths"].items()
    for method, operation in operations.items()
    if "answers" in operation["tags"]
]
OTHERS = [
    (method.upper(), path)
    for path, operations in document()["paths"].items()
    for method in operations
    if (method.upper(), path) not in OURS
]
MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
NOT_SAID = {"max_tokens", "max_completion_tokens", "top_logprobs", "best_of", "prompt", "stream_options"}
"""What is wrong with these in combination, or in the model that happens to run, no schema says."""


def bounds(examples: int) -> settings:
    """Without a deadline: a model answers."""
    phases, health = (Phase.generate,), list(HealthCheck)
    return settings(max_examples=examples, deadline=None, database=None, phases=phases, suppress_health_check=health)


@pytest.fixture(scope="module")
def shop_sections() -> dict[str, Any]:
    """Without keys, as on a loopback address, and with short answers."""
    return {"access": AccessSettings(), "serving": ServingSettings(replica="shop", max_tokens_default=2)}


@pytest.fixture(scope="module")
def described() -> Any:
    return schemathesis.openapi.from_dict(document())


def shortened(case: Any) -> None:
    """Long answers say nothing more."""
    if isinstance(case.body, dict):
        for name in ("max_tokens", "max_completion_tokens"):
            if isinstance(case.body.get(name), int) and case.body[name] > 3:
                case.body[name] = min(case.body[name], 3) if case.body[name] <= 1024 else case.body[name]


def acceptable(case: Any, mode: GenerationMode, answer: Any) -> bool:
    """Whether the document's judgment of the request is the gateway's."""
    if mode is GenerationMode.NEGATIVE:
        return answer.status_code >= 400 or not broken(case)
    if answer.status_code in (200, 404):
        return True
    error = answer.json()["error"]
    return error["code"] == "context_length_exceeded" or error["param"] in NOT_SAID


def broken(case: Any) -> bool:
    """Whether what the request breaks is its body, and not some header that nobody reads."""
    components = getattr(case.meta, "components", {})
    return any(
        str(getattr(place, "value", place)) == "body" and info.mode is GenerationMode.NEGATIVE
        for place, info in components.items()
    )


def ask(case: Any, shop: Shop) -> Any:
    answer = case.call(base_url=shop.served.url)
    checks = CHECKS
    if EVENTS in str(answer.headers.get("content-type")):
        # Schemathesis holds a stream's schema against each event; in OpenAPI 3.1 it is of the whole text, and what
        # the events hold is its `contentSchema`.
        checks = [check for check in CHECKS if check is not response_schema_conformance]
        events_hold(case.operation.path, answer.text)
    case.validate_response(answer, checks=checks)
    return answer


def events_hold(path: str, text: str) -> None:
    """Every event of a stream is as the document says, and the last one ends it."""
    made = document()
    schema = made["paths"][path]["post"]["responses"]["200"]["content"][EVENTS]["schema"]["contentSchema"]
    events = [event.removeprefix("data: ") for event in text.split("\n\n") if event]
    assert len(events) > 1, text
    assert events.pop() == "[DONE]", text
    validator = jsonschema_rs.validator_for({**schema, "components": made["components"]})
    assert not validator.is_valid({"id": text}), "it tells right from wrong"
    for event in events:
        assert validator.is_valid(json.loads(event)), event


@pytest.mark.parametrize("mode", MODES, ids=["right", "wrong"])
@pytest.mark.parametrize(("method", "path"), OURS, ids=[f"{method} {path}" for method, path in OURS])
@pytest.mark.parametrize("examples", [8, pytest.param(300, marks=pytest.mark.full)], ids=["quick", "thorough"])
def test_the_gateway_does_what_its_document_says(
    method: str, path: str, mode: GenerationMode, examples: int, shop: Shop, described: Any
) -> None:
    operation = described[path][method]
    if mode is GenerationMode.NEGATIVE and not operation.body:
        return  # there is no wrong way to ask

    @seed(20261128)
    @bounds(examples)
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Any) -> None:
        shortened(case)
        answer = ask(case, shop)
        assert acceptable(case, mode, answer), f"{answer.status_code} {answer.text[:300]} for {case.body!r}"

    holds()


@pytest.mark.parametrize("mode", MODES, ids=["right", "wrong"])
@pytest.mark.parametrize(("method", "path"), OTHERS, ids=[f"{method} {path}" for method, path in OTHERS])
@pytest.mark.parametrize("examples", [2, pytest.param(100, marks=pytest.mark.full)], ids=["quick", "thorough"])
def test_so_does_what_stands_beside_it(
    method: str, path: str, mode: GenerationMode, examples: int, shop: Shop, described: Any
) -> None:
    operation = described[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query):
        return

    @seed(20261128)
    @bounds(examples)
    @given(case=operation.as_strategy(generation_mode=mode))
    def holds(case: Any) -> None:
        ask(case, shop)

    holds()

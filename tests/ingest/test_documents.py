"""`docs/feedback-api.md` says what is: its table of signals, its examples, its function of the user key."""

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.testclient import TestClient

from infra.contracts import user_key_of
from infra.event_log import StoredRecord
from infra.settings.ways_in import DEFAULT_METRICS, CompatSettings
from ingest.api import build_app
from ingest.codec import FEEDBACK_CODEC
from ingest.rules import RULES
from ingest.strangers import MAX_KEPT
from ingest.wire import WireEvent, WireInteraction

if TYPE_CHECKING:
    from infra.runtime import Context

PAGE = (Path(__file__).parents[2] / "docs" / "feedback-api.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_table_of_signals_is_the_rules() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?)\s?\| (.*?)\s?\| .+ \|$", PAGE.split("## Signals")[1].split("##")[0], re.M)
    found = {name: (value, needs) for name, value, needs in rows}
    assert found == {
        name: (
            f"{rule.value[0]:g} to {rule.value[1]:g}" if rule.value else "",
            ", ".join(f"`{need}`" for need in sorted(rule.needs)),
        )
        for name, rule in RULES.items()
    }


def test_the_examples_are_accepted(sqlite_context: "Context") -> None:
    asked = re.findall(r"(/v1/[\w/]+) .*?-d '\n?(.*?)'$", "".join(blocks("sh")), re.DOTALL | re.MULTILINE)
    bodies = {path: json.loads(body) for path, body in asked}
    with TestClient(build_app(sqlite_context)) as client:
        assert {path: client.post(path, json=body).status_code for path, body in bodies.items()} == {
            "/v1/feedback": 202,
            "/v1/interactions": 202,
            "/v1/feedback/tokens": 201,
        }
        refused = {**bodies["/v1/feedback"], "signal": "dwell", "value": -1}
        answer, _ = (json.loads(block) for block in blocks("json"))
        assert client.post("/v1/feedback", json=refused).json()["results"][0]["error"] == answer["results"][1]["error"]


def test_every_field_of_an_event_and_of_an_interaction_is_described() -> None:
    for struct, title in ((WireEvent, "An event"), (WireInteraction, "An answer from elsewhere")):
        table = re.findall(r"^\| (`.*?) \|", PAGE.split(f"## {title}\n")[1].split("\n## ")[0], re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", " ".join(table))) == set(struct.__struct_fields__)


def test_what_is_said_of_unknown_signals_holds() -> None:
    assert f"{MAX_KEPT} of one request are kept" in PAGE


def test_the_record_is_read() -> None:
    record = blocks("json")[1].encode()
    placed, letters = FEEDBACK_CODEC.decode(StoredRecord("t", 0, 0, 1_795_250_349.0, b"k", record))
    assert letters == []
    assert [(one.item.signal, one.item.source) for one in placed] == [("dwell", "clickstream")]


def test_the_function_of_the_user_key_is_ours() -> None:
    space: dict[str, Any] = {}
    exec(blocks("python")[0], space)
    for user in ("alice", "zoë", ""):
        assert space["user_key"](user, b"secret") == user_key_of(user, b"secret")


def test_the_table_of_names_can_be_set_and_the_known_ones_are_named() -> None:
    given = tomllib.loads(blocks("toml")[0])["ingest"]["compat"]
    assert {"stars", "tone"} <= CompatSettings.model_validate(given).metrics.keys()
    known = PAGE.split("mean is a table. ")[1].split("are\nknown")[0]
    assert set(re.findall(r"`([\w-]+)`", known)) == DEFAULT_METRICS.keys()


def test_every_code_of_a_token_is_named() -> None:
    from ingest import tokens
    from ingest.browser import service

    errors = [value for module in (tokens, service) for name, value in vars(module).items() if name.startswith("Token")]
    codes = {error.code for error in errors if hasattr(error, "code")}
    assert len(codes) == 6
    assert all(f"`{code}`" in PAGE for code in codes)

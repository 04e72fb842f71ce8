"""Yesterday's bodies and records are read for ever: nothing recorded may stop decoding when fields are added.

`recorded/` holds what was sent and written when each version of the formats was current. Files are added to it and
never changed; a change that breaks one needs a new version of the format, not a new file.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from infra.contracts import FeedbackEvent, Interaction, Label
from infra.event_log import StoredRecord
from ingest.codec import FEEDBACK_CODEC, INTERACTION_CODEC
from ingest.wire import FEEDBACK, INTERACTIONS, Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

RECORDED = Path(__file__).parent / "recorded"


def files(pattern: str) -> "Sequence[Path]":
    found = sorted(RECORDED.glob(pattern))
    assert found, pattern
    return found


def record(path: Path) -> StoredRecord:
    text = path.read_text(encoding="utf-8").strip()
    value = bytes.fromhex(text) if path.suffix == ".hex" else text.encode()
    return StoredRecord("t", 0, 0, 1_700_000_000.0, b"k", value)


@pytest.mark.parametrize("path", files("feedback_body_*.json"), ids=lambda path: path.stem)
def test_bodies_of_feedback(path: Path) -> None:
    items = FEEDBACK.parse(path.read_bytes(), 100)
    assert items
    assert not [item for item in items if isinstance(item, Rejection)]


@pytest.mark.parametrize("path", files("interactions_body_*.json"), ids=lambda path: path.stem)
def test_bodies_of_interactions(path: Path) -> None:
    items = INTERACTIONS.parse(path.read_bytes(), 100)
    assert items
    assert not [item for item in items if isinstance(item, Rejection)]


@pytest.mark.parametrize("path", files("feedback_record_*"), ids=lambda path: path.stem)
def test_records_of_feedback(path: Path) -> None:
    placed, letters = FEEDBACK_CODEC.decode(record(path))
    assert letters == []
    assert [one.item.signal for one in placed][:2] == ["shown", "like"]
    assert {one.item.project for one in placed} == {"default"}


@pytest.mark.parametrize("path", files("interactions_record_*.hex"), ids=lambda path: path.stem)
def test_records_of_interactions(path: Path) -> None:
    placed, letters = INTERACTION_CODEC.decode(record(path))
    assert letters == []
    assert placed[0].item.answers[0].text


def test_a_field_of_a_later_version_is_passed_over() -> None:
    document = json.loads((RECORDED / "feedback_record_1.json").read_text())
    later = [{**event, "schema_version": 2, "mood": "glad"} for event in document]
    placed, letters = FEEDBACK_CODEC.decode(StoredRecord("t", 0, 0, 1.0, b"k", json.dumps(later).encode()))
    assert (len(placed), letters) == (len(document), [])


REQUIRED: dict[type[Any], set[str]] = {
    FeedbackEvent: {"event_id", "project", "response_id", "signal", "received_at", "derived_at"},
    Interaction: {"project", "response_id", "conversation_id", "created_at", "messages", "answers"},
    Label: {
        "project", "response_id", "choice", "version", "status", "values", "weights", "made_at", "window_closes_at",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", REQUIRED, ids=lambda kind: kind.__name__)
def test_no_field_became_required(kind: type[Any]) -> None:
    required = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
    assert required == REQUIRED[kind], (
        "what was written without the field could not be read any more: give it a default"
    )

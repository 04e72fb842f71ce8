"""Every contract type survives the wire unchanged, cannot be changed in place, and refuses what it does not know."""

from typing import Any

import msgspec
import pytest

from infra.contracts import (
    Answer,
    Assignment,
    Decision,
    Experiment,
    FeedbackEvent,
    Interaction,
    Label,
    Message,
    Phase,
    PreferencePair,
    SamplingParameters,
)

EXAMPLES: list[Any] = [
    Interaction(
        project="p",
        response_id="chatcmpl-1",
        conversation_id="c",
        created_at=1.5,
        messages=(Message("system", "be brief"), Message("user", "first"), Message("user", "last")),
        answers=(Answer(0, "é", "stop", (1, 2), (-0.5, -1.0), (-0.25, -0.5)),),
        experiment="e",
        arm="control",
        propensity=0.25,
        phase=1,
        sampling=SamplingParameters(temperature=0.7, stop=("\n",)),
    ),
    FeedbackEvent(
        event_id="i", project="p", response_id="r", signal="dwell", received_at=2.0, derived_at=1.0, value=3.5
    ),
    Label(
        project="p",
        response_id="r",
        choice=0,
        version=0,
        status="provisional",
        values={"love": None, "dwell": 0.25},
        weights={"love": 1.0},
        made_at=1.0,
        window_closes_at=2.0,
    ),
    PreferencePair(
        project="p",
        pair_id="x",
        preferred_response_id="a",
        preferred_choice=0,
        other_response_id="b",
        other_choice=1,
        source="duel",
        made_at=1.0,
    ),
    Experiment(
        project="p",
        experiment_id="e",
        challenger="loop@2",
        control="base",
        salt="s",
        status="running",
        phases=(Phase(0, 0.1, 1.0), Phase(1, 0.5, 2.0)),
        started_at=1.0,
    ),
    Assignment("e", None, "base", 1.0, 0),
    Decision(
        project="p",
        sequence=1,
        decision_id="d",
        experiment_id="e",
        kind="hold",
        reason="too few people",
        evidence={"people": 3, "bound": [0.1, None]},
        config_hash="c",
        watermark=1.0,
        decided_at=2.0,
        previous_hash="0",
        hash="1",
    ),
]


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack], ids=["json", "msgpack"])
def test_round_trip(value: Any, codec: Any) -> None:
    assert codec.decode(codec.encode(value), type=type(value)) == value


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)
def test_frozen(value: Any) -> None:
    field = value.__struct_fields__[0]
    with pytest.raises(AttributeError, match="immutable"):
        setattr(value, field, "changed")


def test_the_prompt_is_the_last_user_message() -> None:
    interaction = EXAMPLES[0]
    assert interaction.prompt == "last"
    assert msgspec.structs.replace(interaction, messages=(Message("system", "s"),)).prompt == ""


def test_the_phase_is_the_latest() -> None:
    assert EXAMPLES[4].phase.share == 0.5


def test_a_message_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(b'{"role": "user", "content": "x", "name": "y"}', type=Message)


@pytest.mark.parametrize("document", [b'{"signal": "love"}', b'{"signal": 1}'])
def test_an_unknown_signal_is_refused(document: bytes) -> None:
    whole = msgspec.json.decode(msgspec.json.encode(EXAMPLES[1])) | msgspec.json.decode(document)
    with pytest.raises(msgspec.ValidationError, match=r"signal"):
        msgspec.convert(whole, FeedbackEvent)

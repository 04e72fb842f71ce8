"""Recordings, their readers, and a whole replay through the real API, consumer and reward model on a tiny backbone."""

import gzip
import json
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from infra.contracts.ids import uuid7_time
from infra.db import Database
from infra.db.tables import feedback_events, interactions, labels, pairs
from infra.settings import Settings
from infra.settings.infrastructure import ModelSettings
from infra.settings.reward_model import RewardModelSettings
from plaudit.replay.client import SendFailed, send
from plaudit.replay.formats import read_recording
from plaudit.replay.recording import InvalidRecording, Recording, content_id, duel, event_id
from plaudit.replay.run import ReplayOptions, embedded_settings, replay

SHARED = Path(os.environ.get("PLAUDIT_SHARED", "../shared")) / "data"
FINEGRAINED = SHARED / "finegrained-rlhf"
HARMLESS = SHARED / "hh-rlhf"


def needs(folder: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not folder.is_dir(), reason=f"{folder} is not there; name its parent in PLAUDIT_SHARED")


def write_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_event_ids_are_version_7_and_depend_on_content_alone() -> None:
    one = event_id(5, "duel", "a", 0)
    assert one == event_id(5, "duel", "a", 0) != event_id(5, "duel", "a", 1)
    made = uuid.UUID(one)
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert uuid7_time(made) == 1_704_067_200.005
    assert event_id(4, "x") < event_id(5, "a") < event_id(6, "x")


def test_finegrained_questions_become_choices_and_duels(tmp_path: Path) -> None:
    row = {
        "question": "Why?",
        **{f"prediction {i}": f"answer {i}" for i in range(1, 5)},
        "preference": [1, 2, 0, 1, 0, 2],
    }
    path = tmp_path / "feedback.json"
    path.write_text(json.dumps([row]))
    found = read_recording(tmp_path, "finegrained-rlhf")
    assert found.interactions[0]["answers"] == ["answer 1", "answer 2", "answer 3", "answer 4"]
    assert [(e["choice"], e["other_choice"]) for e in found.events] == [(0, 1), (2, 0), (1, 2), (3, 2)]
    assert found.skipped == {"ties": 2}


def test_hh_dialogues_become_two_choices_in_an_order_that_tells_nothing(tmp_path: Path) -> None:
    def dialogue(answer: str) -> str:
        return f"\n\nHuman: Hello  There\n\nAssistant: Hi.\n\nHuman: And?\n\nAssistant: {answer}"

    rows = [{"chosen": dialogue(f"good {i}"), "rejected": dialogue(f"bad {i}")} for i in range(40)]
    with gzip.open(tmp_path / "some_pairs.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    found = read_recording(tmp_path, "hh-rlhf")
    first = found.interactions[0]
    assert [(m["role"], m["content"]) for m in first["messages"]] == [
        ("user", "Hello  There"),
        ("assistant", "Hi."),
        ("user", "And?"),
    ]
    assert {e["choice"] for e in found.events} == {0, 1}
    for item, event in zip(found.interactions, found.events, strict=True):
        assert item["answers"][event["choice"]].startswith("good")
    assert len({item["conversation_id"] for item in found.interactions}) == 1


def test_jsonl_carries_preferences_and_votes(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "x.jsonl",
        {
            "prompt": "Tea?",
            "answers": ["yes", "no"],
            "user": "ann",
            "preferences": [{"preferred": 1, "other": 0, "user": "bob"}],
            "votes": [{"answer": 0, "signal": "dwell", "value": 3.5}],
        },
        {"messages": [{"role": "user", "content": "Hm?"}], "answers": ["a"], "id": "mine-1", "conversation_id": "c"},
    )
    found = read_recording(path, "jsonl")
    assert (len(found.interactions), found.duels, found.votes) == (2, 1, 1)
    assert found.interactions[1]["response_id"] == "mine-1"
    assert found.events[0]["user"] == "bob"
    assert found.events[1] | {"event_id": ""} == {
        "event_id": "",
        "response_id": found.interactions[0]["response_id"],
        "choice": 0,
        "signal": "dwell",
        "value": 3.5,
        "user": "ann",
    }


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"answers": ["a"]}, "either `prompt` or `messages`"),
        ({"prompt": "p", "answers": ["a"], "extra": 1}, "line 1: .*extra.*docs/replay.md"),
        ({"prompt": "p", "answers": ["a"], "votes": [{"answer": 1, "signal": "like"}]}, "answer 1 of 1"),
        ({"prompt": "p", "answers": ["a", "b"], "preferences": [{"preferred": 0, "other": 0}]}, "over itself"),
        ({"prompt": "p", "answers": "a"}, r"line 1: .*answers"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRecording, match=words):
        read_recording(write_lines(tmp_path / "x.jsonl", row), "jsonl")


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecording, match="one of finegrained-rlhf, hh-rlhf, jsonl"):
        read_recording(tmp_path, "csv")
    with pytest.raises(InvalidRecording, match="0 files that could be hh-rlhf"):
        read_recording(tmp_path, "hh-rlhf")
    (tmp_path / "x.jsonl").write_text("no json\n")
    with pytest.raises(InvalidRecording, match="line 1: no JSON"):
        read_recording(tmp_path / "x.jsonl", "jsonl")
    (tmp_path / "x.jsonl").write_text("")
    with pytest.raises(InvalidRecording, match="no answers to send"):
        read_recording(tmp_path / "x.jsonl", "jsonl")
    (tmp_path / "x.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(InvalidRecording, match="cannot be read"):
        read_recording(tmp_path / "x.jsonl.gz", "jsonl")


def test_nobody_at_the_url_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plaudit.replay.client._ATTEMPTS", 1)
    recording = Recording("x", [{"response_id": "r", "messages": [], "answers": []}], [])
    with pytest.raises(SendFailed, match="is the feedback API running there"):
        send(recording, "http://127.0.0.1:9", lambda _items: None)


def taste(exchanges: int) -> list[dict[str, Any]]:
    """People who prefer short answers, nine times in ten, and vote so."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(exchanges):
        answers = [f"short {i}", f"a very long and winding answer about nothing in particular, number {i}"]
        better = int(rng.random() < 0.1)
        rows.append(
            {
                "prompt": f"question {i}",
                "answers": answers,
                "preferences": [{"preferred": better, "other": 1 - better, "user": f"u{i}"}],
                "votes": [
                    {"answer": choice, "signal": signal, "user": f"u{i}"}
                    for choice, signal in ((better, "like"), (1 - better, "dislike"))
                ],
            }
        )
    return rows


@pytest.fixture
def replay_settings(settings: Settings, tiny_model_dir: Path) -> Settings:
    wanted = RewardModelSettings(
        min_labels=40, min_pairs=20, min_positive=5, min_new_labels=10, folds=3, bootstrap=100, l2_grid=(0.01, 0.1)
    )
    model = ModelSettings(base=str(tiny_model_dir), device="cpu", dtype="float32", threads=1)
    return settings.model_copy(update={"reward_model": wanted, "model": model})


def test_a_replay_trains_on_what_went_through_the_api_and_counts_nothing_twice(
    replay_settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lines(tmp_path / "taste.jsonl", *taste(60))
    options = ReplayOptions(folder=tmp_path / "replay", folds=4, report=tmp_path / "report.json")
    assert replay(replay_settings, path, "jsonl", options) == 0
    printed = capsys.readouterr().out
    assert "60 interactions and 180 events accepted" in printed
    assert "above chance by more than the interval" in printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["reward_model"] == "reward@1"
    assert report["cross_validation"]["accuracy"]["count"] == 60
    assert report["cross_validation"]["accuracy"]["low"] > 0.6
    assert report["cross_validation"]["accuracy_of_longer"]["estimate"] < 0.2
    assert {"sentiment", "utility"} <= set(report["training"]["heads"])

    assert replay(replay_settings, path, "jsonl", options) == 0
    assert "10 labels (or pairs) more needed: 0 labels and 0 pairs" in capsys.readouterr().out
    again = embedded_settings(replay_settings, read_recording(path, "jsonl"), tmp_path / "replay")
    database = Database.open(again.store_url)
    with database.reading() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (interactions, feedback_events, pairs)
        ]
        final = select(func.count()).select_from(labels).where(labels.c.status == "final")
        assert connection.execute(final).scalar_one() >= 120
    database.close()
    assert counts == [60, 180, 60]


def test_refusals_are_told_apart(replay_settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One vote with an impossible value among good ones: it alone is refused, with its reason."""
    rows = taste(3)
    rows[0]["votes"][0] = {"answer": 0, "signal": "rating", "value": 7.0}
    options = ReplayOptions(folder=tmp_path / "replay", send_only=True)
    assert replay(replay_settings, write_lines(tmp_path / "x.jsonl", *rows), "jsonl", options) == 0
    printed = capsys.readouterr().out
    assert "3 interactions and 8 events accepted" in printed
    assert "refused 1 events" in printed


def test_recordings_share_a_folder_without_mixing(replay_settings: Settings, tmp_path: Path) -> None:
    one = embedded_settings(replay_settings, Recording("jsonl", [{"response_id": content_id(1)}], []), tmp_path)
    two = embedded_settings(replay_settings, Recording("jsonl", [{"response_id": content_id(2)}], []), tmp_path)
    assert one.project != two.project
    assert one.data_dir == two.data_dir


def test_duels_may_name_another_response() -> None:
    assert duel(0, "a", 0, 1, "b")["other_response_id"] == "b"
    assert "user" not in duel(0, "a", 0, 1)


@needs(FINEGRAINED)
def test_the_finegrained_file_reads_whole() -> None:
    found = read_recording(FINEGRAINED, "finegrained-rlhf")
    assert len(found.interactions) > 300
    assert found.duels + found.skipped["ties"] > 1800
    assert len({event["event_id"] for event in found.events}) == found.duels


@needs(HARMLESS)
def test_the_harmless_file_reads_whole() -> None:
    found = read_recording(HARMLESS, "hh-rlhf")
    assert found.duels > 1500
    known = {item["response_id"] for item in found.interactions}
    assert {event["response_id"] for event in found.events} <= known


@pytest.mark.full
@pytest.mark.model
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("folder", "form"),
    [
        pytest.param(FINEGRAINED, "finegrained-rlhf", marks=needs(FINEGRAINED)),
        pytest.param(HARMLESS, "hh-rlhf", marks=needs(HARMLESS)),
    ],
)
def test_real_judgments_are_predicted_above_chance(settings: Settings, tmp_path: Path, folder: Path, form: str) -> None:
    options = ReplayOptions(folder=tmp_path / "replay", report=tmp_path / "report.json")
    assert replay(settings, folder, form, options) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["cross_validation"]["accuracy"]["low"] > 0.5
    assert report["reward_model"] == "reward@1"

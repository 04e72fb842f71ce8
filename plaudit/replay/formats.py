"""Files -> recordings, one reader a format. Data sets are read from where they stand; nothing is copied or kept."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from plaudit.replay.jsonl import read_jsonl
from plaudit.replay.recording import InvalidRecording, Recording, content_id, duel

_FINEGRAINED_PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""The two answers that entry i of `preference` compares; the entry is 1 or 2 for the better one, 0 for neither."""
_TURN = re.compile(r"\n\n(Human|Assistant): ?")


def read_recording(path: Path, form: str) -> Recording:
    """Read a file, or the one file of that format in a folder. Raises InvalidRecording."""
    if form not in FORMATS:
        raise InvalidRecording(f"format {form!r} is unknown; one of {', '.join(FORMATS)}", field="--format")
    names, reader = FORMATS[form]
    recording = reader(_file(path, names, form))
    if not recording.interactions:
        raise InvalidRecording(f"{path} holds no answers to send; is it of the format {form}?", field="FILE")
    return recording


def read_finegrained(path: Path) -> Recording:
    """allenai/FineGrainedRLHF, qa_feedback: a question with four answers is one interaction with four choices; each of
    its (up to) six preferences is a duel; ties are left out. The passages shown to the judges are not sent."""
    rows = _json(path)
    interactions, events, skipped = [], [], Counter[str]()
    if not isinstance(rows, list):
        raise InvalidRecording(f"{path} holds no list of questions", field="FILE")
    for number, row in enumerate(rows):
        where = f"{path}, question {number}"
        question = _text(row, "question", where)
        answers = [_text(row, f"prediction {i}", where) for i in range(1, 5)]
        response_id = content_id("finegrained", question, *answers)
        interactions.append(_interaction(response_id, [("user", question)], answers, content_id("question", question)))
        for position, better in enumerate(_preferences(row, where)):
            a, b = _FINEGRAINED_PAIRS[position]
            if better == 0 or answers[a] == answers[b]:
                skipped["ties"] += 1
                continue
            preferred, other = (a, b) if better == 1 else (b, a)
            events.append(duel(6 * number + position, response_id, preferred, other))
    return Recording("finegrained-rlhf", interactions, events, dict(skipped))


def read_hh(path: Path) -> Recording:
    """anthropics/hh-rlhf: a dialogue with a chosen and a rejected last answer is one interaction with two choices, in
    an order that the content decides, and one duel. Dialogues that open with the same words are one conversation."""
    interactions, events, skipped = [], [], Counter[str]()
    for number, line in enumerate(_lines(path)):
        where = f"{path}, line {number + 1}"
        row = _decode(line, where)
        chosen, rejected = _turns(_text(row, "chosen", where), where), _turns(_text(row, "rejected", where), where)
        if chosen[:-1] != rejected[:-1]:
            skipped["answers to different dialogues"] += 1
            continue
        if chosen[-1] == rejected[-1]:
            skipped["equal answers"] += 1
            continue
        answers = sorted((chosen[-1][1], rejected[-1][1]), key=lambda text: content_id("order", text))
        response_id = content_id("hh", chosen[:-1], *answers)
        opening = content_id("opening", " ".join(chosen[0][1].lower().split()))
        interactions.append(_interaction(response_id, chosen[:-1], answers, opening))
        preferred = answers.index(chosen[-1][1])
        events.append(duel(number, response_id, preferred, 1 - preferred))
    return Recording("hh-rlhf", _unique(interactions, skipped), events, dict(skipped))


def _interaction(
    response_id: str, turns: list[tuple[str, str]], answers: list[str], conversation_id: str
) -> dict[str, Any]:
    return {
        "response_id": response_id,
        "conversation_id": conversation_id,
        "messages": [{"role": role, "content": text} for role, text in turns],
        "answers": answers,
    }


def _unique(interactions: list[dict[str, Any]], skipped: Counter[str]) -> list[dict[str, Any]]:
    by_id = {item["response_id"]: item for item in interactions}
    if len(by_id) < len(interactions):
        skipped["repeated dialogues (sent once)"] = len(interactions) - len(by_id)
    return list(by_id.values())


def _turns(dialogue: str, where: str) -> list[tuple[str, str]]:
    parts = _TURN.split(dialogue)
    roles = {"Human": "user", "Assistant": "assistant"}
    turns = [(roles[speaker], text.strip()) for speaker, text in zip(parts[1::2], parts[2::2], strict=True)]
    if len(turns) < 2 or turns[-1][0] != "assistant" or turns[0][0] != "user":
        raise InvalidRecording(f"{where}: no dialogue of 'Human:' and 'Assistant:' turns that ends with an answer")
    return turns


def _preferences(row: Mapping[str, Any], where: str) -> list[int]:
    found = row.get("preference")
    if not isinstance(found, list) or len(found) > 6 or any(value not in (0, 1, 2) for value in found):
        raise InvalidRecording(f"{where}: `preference` is {found!r}; expected up to six of 0, 1, 2", field="preference")
    return found


def _text(row: Any, name: str, where: str) -> str:
    value = row.get(name) if isinstance(row, dict) else None
    if not isinstance(value, str) or not value:
        raise InvalidRecording(f"{where}: no text under {name!r}", field=name)
    return value


def _file(path: Path, names: tuple[str, ...], form: str) -> Path:
    if not path.is_dir():
        return path
    found = sorted(file for name in names for file in path.glob(name))
    if len(found) != 1:
        listed = ", ".join(file.name for file in found) or "none"
        raise InvalidRecording(
            f"{path} holds {len(found)} files that could be {form} ({listed}); name the file itself", field="FILE"
        )
    return found[0]


def _open(path: Path) -> Iterator[str]:
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as stream:
            yield from stream
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise InvalidRecording(f"{path} cannot be read as UTF-8 text ({error})", field="FILE") from error


def _lines(path: Path) -> Iterator[str]:
    return (line for line in _open(path) if line.strip())


def _decode(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRecording(f"{where}: no JSON ({error})", field="FILE") from error


def _json(path: Path) -> Any:
    return _decode("".join(_open(path)), str(path))


def _jsonl(path: Path) -> Recording:
    rows = ((f"{path}, line {i + 1}", _decode(line, f"{path}, line {i + 1}")) for i, line in enumerate(_lines(path)))
    return read_jsonl(rows)


FORMATS: Mapping[str, tuple[tuple[str, ...], Callable[[Path], Recording]]] = MappingProxyType(
    {
        "finegrained-rlhf": (("feedback.json", "feedback.json.gz"), read_finegrained),
        "hh-rlhf": (("*pairs.jsonl", "*pairs.jsonl.gz"), read_hh),
        "jsonl": (("*.jsonl", "*.jsonl.gz"), _jsonl),
    }
)
"""Name -> (file names looked for in a folder, reader)."""

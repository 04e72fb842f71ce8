"""Prompts of your own, one JSON object a line, with what their answers can be checked by.

    {"prompt": "What is 17 * 23?", "answer": "391"}
    {"messages": [{"role": "user", "content": "Name and age of the author as JSON."}], "schema": {"type": "object"}}

The store keeps what people asked, not what the right answer would have been: rewards that verify need this file.
"""

import json
from pathlib import Path
from typing import Any

from infra.contracts import Message, PlauditError
from policy_update.prompts import Conversation, Reference

_FIELDS = {"prompt", "messages", "answer", "schema"}
_ROLES = ("system", "user", "assistant")


class InvalidPromptFile(PlauditError):
    """A prompt file that cannot be read, or a line of it that says something else than a prompt."""

    code = "invalid_prompt_file"
    status = 400


def read_prompt_file(path: str | Path) -> dict[Conversation, Reference]:
    """Conversations with their references, in the order of the file; the first of equal ones counts. Raises
    InvalidPromptFile, naming the line."""
    try:
        # Not splitlines: JSON texts may hold U+2028 and its like, which are no ends of lines in JSONL.
        lines = Path(path).expanduser().read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidPromptFile(
            f"policy_update.prompt_file {str(path)!r} cannot be read ({error}): name a JSONL file in UTF-8, or leave "
            "the setting empty",
            field="policy_update.prompt_file",
        ) from error
    found: dict[Conversation, Reference] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            conversation, reference = _parse(line, f"{path}, line {number}")
            found.setdefault(conversation, reference)
    return found


def _parse(line: str, where: str) -> tuple[Conversation, Reference]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _invalid(where, f"it is no JSON ({error})") from error
    if not isinstance(row, dict) or set(row) - _FIELDS:
        raise _invalid(where, f"it must be an object with some of {', '.join(sorted(_FIELDS))}")
    answer, schema = row.get("answer"), row.get("schema")
    if isinstance(answer, bool) or (answer is not None and not isinstance(answer, str | int | float)):
        raise _invalid(where, f"answer is {answer!r}, it must be text or a number")
    if schema is not None and not isinstance(schema, dict):
        raise _invalid(where, f"schema is {schema!r}, it must be a JSON schema (an object)")
    return _conversation(row, where), Reference(None if answer is None else str(answer), schema)


def _conversation(row: dict[str, Any], where: str) -> Conversation:
    if ("prompt" in row) == ("messages" in row):
        raise _invalid(where, "it must have either prompt (text) or messages (a list)")
    if "prompt" in row:
        if not isinstance(row["prompt"], str) or not row["prompt"].strip():
            raise _invalid(where, f"prompt is {row['prompt']!r}, it must be text")
        return (Message("user", row["prompt"]),)
    try:
        messages = tuple(_message(m["role"], m["content"]) for m in row["messages"])
    except (TypeError, KeyError) as error:
        raise _invalid(where, "each of messages needs role (system, user or assistant) and content (text)") from error
    if not messages or messages[-1].role != "user":
        raise _invalid(where, "the last of messages must be the user's")
    return messages


def _message(role: Any, content: Any) -> Message:
    if role not in _ROLES or not isinstance(content, str):
        raise TypeError
    return Message(role, content)


def _invalid(where: str, what: str) -> InvalidPromptFile:
    return InvalidPromptFile(f"{where}: {what}", field="policy_update.prompt_file")

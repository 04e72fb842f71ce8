"""The program of the verifier's child process: one JSON request a line on standard input, one JSON reply a line.

Started by file name and without the rest of Plaudit, so that it is up in a moment. It ends with its standard input.
Requests: {"kind": "math", "text", "wanted"}, {"kind": "regex", "text", "pattern", "full"},
{"kind": "schema", "text", "schema"}, and {"kind", "prepare": true}, which imports what the kind needs and says null;
replies: {"value": 1, 0 or null} (null: nothing to say), or {"error": text}.
"""

import importlib
import json
import os
import re
import sys
from typing import Any


def math(request: dict[str, Any]) -> float | None:
    """Whether the last expression of the text equals the wanted one; None when the wanted one cannot be parsed."""
    from math_verify import parse, verify

    wanted = request["wanted"]
    gold = parse(wanted) or parse(f"${wanted}$")
    if not gold:
        return None
    return float(verify(gold, parse(request["text"])))


def regex(request: dict[str, Any]) -> float | None:
    """Whether the pattern is found in the text (or matches all of it)."""
    pattern = re.compile(request["pattern"], re.DOTALL)
    found = pattern.fullmatch(request["text"].strip()) if request["full"] else pattern.search(request["text"])
    return float(found is not None)


def schema(request: dict[str, Any]) -> float | None:
    """Whether the text is JSON and valid under the schema."""
    import jsonschema_rs

    try:
        document = json.loads(request["text"])
    except ValueError:
        return 0.0
    return float(jsonschema_rs.is_valid(request["schema"], document))


KINDS = {"math": math, "regex": regex, "schema": schema}
LIBRARIES = {"math": "math_verify", "schema": "jsonschema_rs"}


def reply_to(request: dict[str, Any]) -> float | None:
    """What one request asks for."""
    if not request.get("prepare"):
        return KINDS[request["kind"]](request)
    if request["kind"] in LIBRARIES:
        importlib.import_module(LIBRARIES[request["kind"]])
    return None


def main() -> None:
    """Answer until standard input ends. What libraries print goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply: dict[str, Any] = {"value": reply_to(request)}
        except Exception as error:  # a verifier's own failure is an answer: the parent decides what it means
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()

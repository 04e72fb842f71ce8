from pathlib import Path

import pytest

from infra.contracts import Message
from policy_update.prompt_file import InvalidPromptFile, read_prompt_file
from policy_update.prompts import Reference


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_prompts_and_what_to_check_their_answers_by(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"prompt": "What is 17 * 23?", "answer": 391}',
        "",
        '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "schema": {"type": "x"}}',
        '{"prompt": "What is 17 * 23?", "answer": "wrong, but second"}',
        '{"prompt": "Why?"}',
    )
    found = read_prompt_file(path)
    assert list(found.items()) == [
        ((Message("user", "What is 17 * 23?"),), Reference(answer="391")),
        ((Message("system", "s"), Message("user", "u")), Reference(schema={"type": "x"})),
        ((Message("user", "Why?"),), Reference()),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "it is no JSON"),
        ("[]", "it must be an object"),
        ('{"prompt": "x", "anwser": "y"}', "with some of answer, messages, prompt, schema"),
        ('{"prompt": "x", "answer": []}', "it must be text or a number"),
        ('{"prompt": "x", "schema": "object"}', "it must be a JSON schema"),
        ('{"answer": "y"}', "either prompt"),
        ('{"prompt": "x", "messages": []}', "either prompt"),
        ('{"prompt": " "}', "it must be text"),
        ('{"prompt": "x", "answer": true}', "it must be text or a number"),
        ('{"messages": ["x"]}', "needs role"),
        ('{"messages": [{"role": "usr", "content": "x"}]}', "system, user or assistant"),
        ('{"messages": [{"role": "user", "content": null}]}', "and content \\(text\\)"),
        ('{"messages": [{"role": "assistant", "content": "x"}]}', "the last of messages must be the user's"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = written(tmp_path, '{"prompt": "fine"}', line)
    with pytest.raises(InvalidPromptFile, match=said) as raised:
        read_prompt_file(path)
    assert "line 2" in raised.value.message


def test_a_line_ends_at_its_newline_alone(tmp_path: Path) -> None:
    """JSON may hold U+2028 as it is; an editor may have put a byte order mark before the first line."""
    path = tmp_path / "prompts.jsonl"
    text = '\ufeff{"prompt": "one\u2028two\u0085three"}\r\n{"prompt": "four"}\r\n'
    path.write_bytes(text.encode())
    found = [conversation[0].content for conversation in read_prompt_file(path)]
    assert found == ["one\u2028two\u0085three", "four"]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InvalidPromptFile, match="cannot be read"):
        read_prompt_file("/nowhere/prompts.jsonl")

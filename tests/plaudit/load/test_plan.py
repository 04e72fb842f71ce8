from itertools import islice, pairwise
from pathlib import Path

import msgspec
import pytest

from plaudit.load.plan import BUILT_IN, BadLoad, Plan, bodies, read_prompts, starts


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8080", (False, "127.0.0.1", 8080, "/v1/chat/completions")),
        ("http://host/v1/", (False, "host", 80, "/v1/chat/completions")),
        ("https://host/proxy/v1", (True, "host", 443, "/proxy/v1/chat/completions")),
    ],
)
def test_where_requests_go(url: str, target: tuple[bool, str, int, str]) -> None:
    assert Plan(url).target == target


@pytest.mark.parametrize("url", ["host:8080", "ftp://host", "http://", "http://host:99999"])
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(BadLoad) as bad:
        _ = Plan(url).target
    assert bad.value.field == "url"


def test_prompts_of_files(tmp_path: Path) -> None:
    text, lines = tmp_path / "a.txt", tmp_path / "a.jsonl"
    text.write_text("One?\n\n Two? \n")
    lines.write_text('{"prompt": "One?"}\n{"messages": [{"role": "system", "content": "Be kind."}]}\n')
    assert read_prompts(text) == [[{"role": "user", "content": said}] for said in ("One?", "Two?")]
    assert read_prompts(lines) == [
        [{"role": "user", "content": "One?"}],
        [{"role": "system", "content": "Be kind."}],
    ]
    assert len(read_prompts(None)) == len(BUILT_IN)


@pytest.mark.parametrize("line", ["", "{", '"text"', '{"messages": []}', '{"prompt": 3}'])
def test_a_line_that_is_no_prompt_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(line + "\n")
    with pytest.raises(BadLoad, match=r"a\.jsonl"):
        read_prompts(file)


def test_bodies_use_every_prompt_once_before_the_next_round_and_are_the_same_again() -> None:
    plan = Plan("http://h", users=2, stream=True, max_tokens=7)
    prompts = [[{"role": "user", "content": str(number)}] for number in range(5)]
    first, second = (list(islice(bodies(plan, prompts), 10)) for _ in range(2))
    assert first == second
    documents = [msgspec.json.decode(body) for body in first]
    asked = [document["messages"][0]["content"] for document in documents]
    assert sorted(asked[:5]) == sorted(asked[5:]) == list("01234")
    assert asked[:5] != asked[5:]
    assert [document["user"] for document in documents[:3]] == ["load-0", "load-1", "load-0"]
    assert documents[0]["stream_options"] == {"include_usage": True}
    plain = msgspec.json.decode(next(bodies(Plan("http://h", stream=False), prompts)))
    assert set(plain) == {"model", "messages", "max_tokens"}


def test_starts_have_their_rate() -> None:
    steady = list(islice(starts(Plan("http://h", steady=True), 4.0), 5))
    assert steady == [0.0, 0.25, 0.5, 0.75, 1.0]
    random = list(islice(starts(Plan("http://h"), 50.0), 5001))
    assert random[-1] == pytest.approx(100.0, rel=0.06)  # 5000 waits: a standard deviation of 1.4 %
    gaps = [later - earlier for earlier, later in pairwise(random)]
    assert sum(gap > 1 / 50 for gap in gaps) / 5000 == pytest.approx(0.368, abs=0.03)  # exp(-1)

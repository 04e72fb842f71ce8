"""Checked answers: right 1, wrong 0, and NaN, never 0, where there is nothing to check by."""

import importlib.util

import numpy as np
import pytest

from policy_update.prompts import Reference
from policy_update.rewards import verifiable
from policy_update.rewards.batch import InvalidReward
from tests.policy_update.rewards.builders import answers, batch

NAN = float("nan")


def same(found: np.ndarray, expected: list[float]) -> bool:  # type: ignore[type-arg]
    return bool(np.array_equal(found, np.array(expected), equal_nan=True))


def test_exact_match_ignores_case_space_and_edges() -> None:
    texts = [" Oslo.", "oslo", "It is Oslo", "Bergen", "Oslo"]
    wanted = answers("Oslo", '"OSLO"', "Oslo", "Oslo", None)
    assert same(verifiable.exact_match()(batch(texts, wanted)), [1, 1, 0, 0, NAN])
    assert same(verifiable.exact_match(within=True)(batch(texts, wanted)), [1, 1, 1, 0, NAN])
    assert same(verifiable.exact_match(within=True)(batch(["117"], answers("17"))), [0])


def test_regular_expressions_run_in_a_child() -> None:
    texts = ["Total: 42 crowns", "42", "none"]
    assert same(verifiable.regex(pattern=r"\b\d+\b")(batch(texts)), [1, 1, 0])
    assert same(verifiable.regex(pattern=r"\d+", full=True)(batch(texts)), [0, 1, 0])
    with pytest.raises(InvalidReward, match="no regular expression"):
        verifiable.regex(pattern="(")
    with pytest.raises(InvalidReward, match="every answer would hold it"):
        verifiable.regex()


@pytest.mark.parametrize(
    ("name", "yes", "no"),
    [
        ("sentence", 'He said: "Go home."', "and then we"),
        ("one_line", "one", "one\ntwo"),
        ("list", "Do this:\n- a\n2) b", "- a\nb"),
        ("boxed", r"so \boxed{42}", r"so \boxed{}"),
        ("think", "<think>hm</think> 4", "<think>hm</think>"),
    ],
)
def test_formats(name: str, yes: str, no: str) -> None:
    assert verifiable.format(name=name)(batch([yes, no, ""])).tolist() == [1.0, 0.0, 0.0]


def test_a_cut_answer_is_not_finished() -> None:
    rows = batch(["Yes.", "Yes."], truncated=[False, True])
    assert verifiable.format(name="sentence", finished=True)(rows).tolist() == [1.0, 0.0]
    with pytest.raises(InvalidReward, match="name 'haiku' is not known; there are boxed, list"):
        verifiable.format(name="haiku")


def test_an_absent_library_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InvalidReward, match=r"'math' needs the optional package math-verify: pip install"):
        verifiable.math()
    with pytest.raises(InvalidReward, match="needs the optional package jsonschema-rs"):
        verifiable.json_schema()


def test_json_is_held_against_the_prompts_schema() -> None:
    pytest.importorskip("jsonschema_rs")
    schema = {"type": "object", "required": ["age"], "properties": {"age": {"type": "integer"}}}
    texts = ['{"age": 7}', 'Here:\n```json\n{"age": 7}\n```', '{"age": "7"}', "age 7", '{"age": 7}']
    wanted: list[Reference | None] = [Reference(schema=schema)] * 4
    assert same(verifiable.json_schema()(batch(texts, [*wanted, None])), [1, 1, 0, 0, NAN])
    # A schema that is none is the author's mistake, not the answer's.
    assert same(verifiable.json_schema()(batch(["{}"], [Reference(schema={"type": "no such"})])), [NAN])


def test_mathematics_is_compared_as_mathematics() -> None:
    pytest.importorskip("math_verify")
    texts = ["It is $\\frac{1}{2}$.", "The result is 0.5", "So 391.", "So 390.", "I do not know", "7"]
    wanted = answers("1/2", "$\\frac{1}{2}$", "391", "391", "391", None)
    assert same(verifiable.math()(batch(texts, wanted)), [1, 1, 1, 0, 0, NAN])

"""Rewards by import path: what is wrong with one is said with its path."""

import numpy as np
import pytest

from policy_update.rewards.batch import AnswerBatch, InvalidReward
from policy_update.rewards.custom import checked, imported, is_path
from tests.policy_update.rewards.builders import batch

HERE = "tests.policy_update.rewards.test_custom"
CONSTANT = 3


def vowels(rows: AnswerBatch, letters: str = "aeiou") -> list[float]:
    return [sum(letter in letters for letter in text) for text in rows.texts]


def one_number(rows: AnswerBatch) -> float:
    return 1.0


def broken(rows: AnswerBatch) -> float:
    raise KeyError("the key")


def test_a_function_of_ones_own() -> None:
    assert is_path(f"{HERE}:vowels")
    assert checked(f"{HERE}:vowels", {})(batch(["aeb", "xyz"])).tolist() == [2.0, 0.0]
    assert checked(f"{HERE}:vowels", {"letters": "x"})(batch(["aeb", "xyz"])).dtype == np.float64


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a b:c", "is no import path: write package.module:function"),
        ("no_such_package.module:f", "no_such_package.module cannot be imported .ModuleNotFoundError"),
        (f"{HERE}:nothing", "has no such name"),
        (f"{HERE}:CONSTANT", "holds a int under that name"),
    ],
)
def test_a_wrong_path_is_refused_with_its_name(path: str, said: str) -> None:
    with pytest.raises(InvalidReward, match=said) as raised:
        imported(path)
    assert path in str(raised.value.message)


@pytest.mark.parametrize(
    ("name", "said"), [("one_number", r"returned shape \(\) for 2 answers"), ("broken", "raised KeyError: 'the key'")]
)
def test_a_wrong_answer_stops_the_run(name: str, said: str) -> None:
    with pytest.raises(InvalidReward, match=said):
        checked(f"{HERE}:{name}", {})(batch(["a", "b"]))

"""What counts as equal."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contracts import Message
from reward_model.rows import AnswerRow, PairRow, normalised
from tests.reward_model.builders import answer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How are  you?", "how are you"),
        ("“Fine”, he said.", "fine he said"),
        ("ﬁne\n", "FINE"),  # a ligature
        ("Straße", "STRASSE"),
        ("**Bold** claim!", "bold claim"),
        ("", "  \n"),
    ],
)
def test_texts_that_read_the_same(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3.5", "35"),
        ("C++", "C"),
        ("?", "!"),
        ("a b", "ab"),
        ("don't", "dont"),
        ("-5", "5"),
        ("你好", "再见"),
        ("x", ""),
    ],
)
def test_texts_that_do_not(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


def asked(*messages: tuple[str, str], number: int = 0) -> AnswerRow:
    return answer(number, messages=tuple(Message(*m) for m in messages), text="t")


def test_prompts_are_equal_but_for_case_spacing_and_earlier_answers() -> None:
    one = asked(("user", "How are  you?"), ("assistant", "fine"), ("user", "And now?"))
    same = asked(("system", "be kind"), ("user", "how are you?"), ("assistant", "bad"), ("user", "and now"))
    assert one.prompt_key == same.prompt_key
    assert one.near_key != same.near_key, "an answer is judged after what was said before it"
    assert one.prompt_key != asked(("user", "And now?")).prompt_key


def test_messages_do_not_run_into_each_other() -> None:
    assert asked(("user", "a b")).prompt_key != asked(("user", "a"), ("user", "b")).prompt_key


def test_without_a_question_prompts_are_told_apart_by_what_there_is() -> None:
    one, other = asked(("system", "be kind"), number=1), asked(("system", "be brief"), number=2)
    assert one.prompt_key != other.prompt_key
    assert asked(number=1).prompt_key != asked(number=2).prompt_key, "unknown prompts are not equal"


def test_near_keys_forgive_what_content_keys_do_not() -> None:
    one, other = answer(0, prompt="Q?", text="Yes."), answer(1, prompt="q", text="yes")
    assert one.near_key == other.near_key
    assert one.content_key != other.content_key


def test_judges_of_a_pair() -> None:
    pair = PairRow("p", ("a", 0), ("b", 0), 1.0, "matched", 0.0, user_key="bob", other_user="ann")
    assert pair.judges == ("ann", "bob")
    assert PairRow("p", ("a", 0), ("b", 0), 1.0, "duel", 0.0).judges == ()


@given(st.text(alphabet=" \n\tab3.+?!“(*é你", max_size=25))
def test_normalising_word_by_word(text: str) -> None:
    marks = ".,;:!?…\"'“”‘’«»()[]{}*_~`"
    words = unicodedata.normalize("NFKC", text).casefold().split()
    assert normalised(text) == " ".join(word.strip(marks) or word for word in words)
    assert normalised(normalised(text)) == normalised(text)

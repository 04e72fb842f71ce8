"""Text as it grows: the pieces are the whole, and nothing is shown that must be taken back."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.models.loading import LoadedModel
from infra.models.text import TextStream, text_of


def pieces(tokenizer: Any, ids: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    stream = TextStream(tokenizer, stop)
    return [*(stream.push(token) for token in ids), stream.finish()]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40))
def test_pieces_are_the_whole_and_never_half_a_character(tiny_loaded: LoadedModel, text: str) -> None:
    ids = list(tiny_loaded.tokenizer(text, add_special_tokens=False).input_ids)
    got = pieces(tiny_loaded.tokenizer, ids)
    assert "".join(got) == tiny_loaded.tokenizer.decode(ids, skip_special_tokens=True)
    if "\ufffd" not in text:
        assert not any("\ufffd" in piece for piece in got)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text("ab \n", max_size=30), stop=st.text("ab \n", min_size=1, max_size=4))
def test_text_ends_before_the_first_stop(tiny_loaded: LoadedModel, text: str, stop: str) -> None:
    ids = list(tiny_loaded.tokenizer(text, add_special_tokens=False).input_ids)
    assert text_of(tiny_loaded.tokenizer, ids, (stop,)) == text.split(stop)[0]


def test_an_unfinished_character_is_held_back_then_shown_as_it_is(tiny_loaded: LoadedModel) -> None:
    ids = list(tiny_loaded.tokenizer("é", add_special_tokens=False).input_ids)
    assert len(ids) == 2
    assert pieces(tiny_loaded.tokenizer, ids) == ["", "é", ""]
    assert pieces(tiny_loaded.tokenizer, ids[:1]) == ["", "\ufffd"]


def test_the_end_token_is_no_text(tiny_loaded: LoadedModel) -> None:
    assert text_of(tiny_loaded.tokenizer, [*tiny_loaded.end_ids]) == ""

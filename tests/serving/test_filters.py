"""Filters cut before what must not be shown, however the text arrives."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.settings.serving import ServingSettings
from serving.filters import FilteredText, Filters

WORDS = ServingSettings(filters=("words",), filter_words=("ass", "bad word"))
FILTERS = Filters(WORDS)


def through(pieces: list[str], filters: Filters = FILTERS) -> tuple[list[str], bool]:
    text = FilteredText(filters)
    shown = [text.push(piece) for piece in pieces]
    return [*shown, text.push("", final=True)], text.blocked


def test_whole_words_in_any_case_and_nothing_within_others() -> None:
    assert through(["to assist a class"]) == (["to assis", "t a class"], False)  # 9 characters are held back
    shown, blocked = through(["you ", "A", "ss! and more"])
    assert ("".join(shown), blocked) == ("you ", True)
    shown, blocked = through(["some bad wo", "rd"])
    assert ("".join(shown), blocked) == ("some ", True)


def test_without_filters_everything_passes_at_once() -> None:
    assert through(["a", "b"], Filters(ServingSettings())) == (["a", "b", ""], False)


@settings(max_examples=200, deadline=None)
@given(st.text("as bdwor.", max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_pieces_show_what_the_whole_shows(text: str, cuts: list[int]) -> None:
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    whole = FilteredText(FILTERS)
    shown, blocked = through(pieces)
    assert ("".join(shown), blocked) == (whole.push(text, final=True), whole.blocked)


class Exclaiming:
    """Cuts at the first exclamation mark."""

    holdback = 0

    def cut(self, text: str, final: bool) -> int | None:
        place = text.find("!")
        return None if place < 0 else place


def exclaiming(_settings: ServingSettings) -> Exclaiming:
    return Exclaiming()


def test_a_deployment_brings_its_own() -> None:
    filters = Filters(ServingSettings(filters=("words", "tests.serving.test_filters:exclaiming"), filter_words=("z",)))
    assert through(["ab", "c! d", "e"], filters) == (["", "abc", "", ""], True)

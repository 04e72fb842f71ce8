"""Output filters: what may cut an answer short before it is shown. One is built in; a deployment brings others.

A cut answer ends with `finish_reason` `content_filter` and is stored as it was shown, without its tokens: what people
say about it is not about them.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from infra.settings.serving import ServingSettings
from serving.hooks import load_hook

FINISH_REASON = "content_filter"


class OutputFilter(Protocol):
    """Judges answers as they grow. `holdback`: so many characters at the end are not shown while more may come."""

    holdback: int

    def cut(self, text: str, final: bool) -> int | None:
        """Where the answer must end, as an index into `text`; None: it may go on. `text`: all of it so far; `final`:
        nothing follows. What lies before a former `text`'s holdback has been shown."""
        ...


class WordFilter:
    """Cuts before the first of some words and phrases, whole words in any case."""

    def __init__(self, words: Sequence[str]) -> None:
        ordered = sorted({word.strip() for word in words if word.strip()}, key=lambda word: (-len(word), word))
        self.holdback = len(ordered[0]) + 1 if ordered else 0
        found = "|".join(re.escape(word) for word in ordered)
        self._pattern = re.compile(rf"(?<!\w)(?:{found})(?!\w)", re.IGNORECASE) if ordered else None

    def cut(self, text: str, final: bool) -> int | None:
        """See OutputFilter."""
        if self._pattern is None:
            return None
        for found in self._pattern.finditer(text):
            if final or found.end() < len(text):  # at the very end it may be the beginning of a longer word
                return found.start()
        return None


class Filters:
    """The filters of a deployment, applied together."""

    def __init__(self, settings: ServingSettings) -> None:
        """Raises UnknownHook."""
        self._filters: list[OutputFilter] = [
            WordFilter(settings.filter_words) if name == "words" else load_hook(name, "serving.filters")(settings)
            for name in settings.filters
        ]
        self.holdback = max((one.holdback for one in self._filters), default=0)

    @property
    def active(self) -> bool:
        """Whether there are any."""
        return bool(self._filters)

    def cut(self, text: str, final: bool) -> int | None:
        """Where the earliest cut is."""
        places = [place for one in self._filters if (place := one.cut(text, final)) is not None]
        return min(places, default=None)


class FilteredText:
    """One answer on its way through the filters."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        self._text = ""
        self._shown = 0
        self.blocked = False

    def push(self, piece: str, *, final: bool = False) -> str:
        """What may be shown now."""
        if self.blocked:
            return ""
        if not self._filters.active:
            return piece
        self._text += piece
        place = self._filters.cut(self._text, final)
        if place is not None:
            self.blocked = True
            end = max(place, self._shown)
        else:
            end = len(self._text) if final else max(self._shown, len(self._text) - self._filters.holdback)
        shown, self._shown = self._text[self._shown : end], end
        return shown

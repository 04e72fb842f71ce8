"""Pairs of known answers shown beside an answer now and then: who cannot tell the better one is not looking.

A honeypot answers a prompt of its own, so it stands beside the answer as a comparison that a page may ask about, and
takes nothing from the answer: that counts wherever it would have counted. The votes are duels between the two known
answers; `ingest.trust` scores them. Nothing in the response says that the better one is known.
"""

import hmac
from typing import NamedTuple

from infra.contracts import HoneypotShown
from infra.runtime import Context
from infra.settings import user_secret
from ingest.trust.honeypots import choose
from ingest.trust.honeypots_repository import HoneypotRepository
from ingest.trust.records import Honeypot
from ingest.trust.votes_repository import VotesRepository

Answer = tuple[str, int]


class Comparison(NamedTuple):
    """Two answers to `prompt` in the order shown, as (response id, choice) and text, and what is logged of them."""

    prompt: str
    answers: tuple[Answer, Answer]
    texts: tuple[str, str]
    logged: HoneypotShown


class _Known(NamedTuple):
    prompt: str
    better: str
    worse: str


class HoneypotBook:
    """The honeypots in use with their texts. `refresh` belongs to a thread, `drawn` may be called by any."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._project = context.settings.project
        self._rate = context.settings.trust.honeypot_rate
        self._salt = hmac.digest(user_secret(context.settings), b"plaudit honeypots", "sha256").hex()
        self._pairs: list[Honeypot] = []
        self._texts: dict[str, _Known] = {}

    def refresh(self) -> None:
        """Read them from the store; its errors pass through and leave what was known."""
        with self._context.database.reading() as connection:
            pairs = HoneypotRepository(connection, self._project).all(in_use=True)
            ids = {answer[0] for pair in pairs for answer in (pair.better, pair.worse)}
            texts = VotesRepository(connection, self._project).texts(ids)
        known = {
            pair.honeypot_id: _Known(texts[pair.better].prompt, texts[pair.better].answer, texts[pair.worse].answer)
            for pair in pairs
            if pair.better in texts and pair.worse in texts  # erased ones have none
        }
        self._texts = known
        self._pairs = [pair for pair in pairs if pair.honeypot_id in known]

    def drawn(self, response_id: str) -> Comparison | None:
        """What is shown beside this answer; mostly nothing. The same for the same id, on every replica."""
        pairs, texts = self._pairs, self._texts
        choice = choose(pairs, response_id, self._rate, self._salt)
        pair = choice.honeypot
        known = texts.get(pair.honeypot_id) if pair is not None else None
        if pair is None or known is None:
            return None
        shown = ((pair.better, known.better), (pair.worse, known.worse))
        first, second = shown if choice.better_first else (shown[1], shown[0])
        logged = HoneypotShown(pair.honeypot_id, choice.probability, choice.better_first)
        return Comparison(known.prompt, (first[0], second[0]), (first[1], second[1]), logged)

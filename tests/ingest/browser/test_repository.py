"""The uses of a token under competition: one browser wins, and the bound holds."""

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from infra.contracts import uuid7
from ingest.browser.repository import TokenRepository, Use
from ingest.browser.service import BrowserDoor, TokenReplayed, TokenUsedUp
from ingest.service import IngestService
from ingest.tokens import Token

if TYPE_CHECKING:
    from infra.db import Database
    from infra.runtime import Context

TOKEN = Token("0" * 24, "r1", None, 1_699_999_000, 1_700_009_000)


def test_of_many_browsers_at_once_one_is_the_first(database: "Database") -> None:
    def first(number: int) -> Use:
        with database.transaction() as connection:
            return TokenRepository(connection, "p").use("t1", bytes([number]) * 16, 10.0)

    with ThreadPoolExecutor(8) as pool:
        uses = list(pool.map(first, range(24)))
    assert len({use.nonce_hash for use in uses}) == 1
    assert all((use.reserved, use.seen) == (0, frozenset()) for use in uses)


def test_what_is_remembered_is_a_set_and_only_of_tokens_that_are_there(database: "Database") -> None:
    with database.transaction() as connection:
        repository = TokenRepository(connection, "p")
        repository.use("t1", b"n" * 16, 10.0)
        repository.remember("t1", [b"a" * 8, b"b" * 8])
        repository.remember("t1", [b"b" * 8, b"c" * 8])
        repository.remember("t2", [b"a" * 8])
        assert repository.use("t1", b"x" * 16, 10.0) == Use(b"n" * 16, 0, frozenset([b"a" * 8, b"b" * 8, b"c" * 8]))
        assert TokenRepository(connection, "q").use("t1", b"x" * 16, 10.0).nonce_hash == b"x" * 16
        assert (repository.sweep(9.9), repository.sweep(10.0)) == (0, 1)


def test_the_bound_holds_however_many_come_at_once(context: "Context") -> None:
    door = BrowserDoor(IngestService(context))
    limit, each = context.settings.ingest.browser.max_events_per_token, 60

    def send(number: int) -> int:
        nonce = "n" * 32 if number % 2 else "m" * 32
        try:
            return len(door._admit(TOKEN, nonce, [str(uuid7()) for _ in range(each)]))
        except (TokenUsedUp, TokenReplayed):
            return 0

    with ThreadPoolExecutor(8) as pool:
        let_in = sum(pool.map(send, range(40)))
    assert let_in == limit // each * each

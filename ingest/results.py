"""What a request is answered: one result an item, in the order of the request."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from ingest.rules import Problem


class ItemResult(msgspec.Struct, omit_defaults=True):
    """What became of one item. `event_id` for feedback, `response_id` for interactions."""

    status: Literal["accepted", "rejected"]
    event_id: str | None = None
    response_id: str | None = None
    error: Problem | None = None


class BatchResult(msgspec.Struct):
    """The answer to a batch: one result an item, in the order of the request."""

    accepted: int
    rejected: int
    results: list[ItemResult]

    @property
    def status(self) -> int:
        """202 if anything was accepted (then it is durable), 422 if everything was refused."""
        return 202 if self.accepted else 422

    def encode(self) -> bytes:
        """The document as JSON."""
        return msgspec.json.encode(self)


class AllAccepted:
    """A `BatchResult` for feedback of which every event was accepted, at least one; a document made by joining ids."""

    rejected = 0
    status = 202

    def __init__(self, event_ids: Sequence[str]) -> None:
        self.event_ids = event_ids

    @property
    def accepted(self) -> int:
        return len(self.event_ids)

    @property
    def results(self) -> list[ItemResult]:
        return [ItemResult("accepted", event_id) for event_id in self.event_ids]

    def encode(self) -> bytes:
        """The document as JSON, byte for byte that of the `BatchResult`. (Valid event ids need no escapes.)"""
        between = '"},{"status":"accepted","event_id":"'
        return (
            f'{{"accepted":{self.accepted},"rejected":0,"results":[{{"status":"accepted","event_id":"'
            f'{between.join(self.event_ids)}"}}]}}'
        ).encode()

"""The feedback API's doors for other products' shapes, and what came through them applied to the store."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from ingest.api import build_app
from ingest.consumer import FeedbackConsumer

if TYPE_CHECKING:
    from infra.runtime import Context


@pytest.fixture
def client(context: "Context") -> Iterator[TestClient]:
    with TestClient(build_app(context)) as client:
        yield client


def drain(context: "Context") -> None:
    """Apply everything that is on the log."""
    consumer = FeedbackConsumer(context)
    try:
        consumer.drain()
    finally:
        consumer.close()

"""Metrics of the hot path with their labels looked up once: that costs more than counting."""

from functools import lru_cache
from typing import Any

from infra.metrics import catalogue as metrics

_REMEMBERED = 256


def count_tokens(kind: str, adapter: str, count: int) -> None:
    """`count` tokens of a prompt or a completion."""
    _tokens(kind, adapter).inc(count)


def count_request(stream: bool, outcome: str, seconds: float) -> None:
    """A request has ended, by its outcome: ok, error, left."""
    _requests("true" if stream else "false", outcome).observe(seconds)


def count_route(why: str) -> None:
    """A request was routed."""
    _routes(why).inc()


@lru_cache(_REMEMBERED)
def _tokens(kind: str, adapter: str) -> Any:
    return metrics.SERVING_TOKENS.labels(kind=kind, adapter=adapter)


@lru_cache(_REMEMBERED)
def _requests(stream: str, outcome: str) -> Any:
    return metrics.SERVING_REQUEST_SECONDS.labels(stream=stream, outcome=outcome)


@lru_cache(_REMEMBERED)
def _routes(why: str) -> Any:
    return metrics.SERVING_ROUTES.labels(why=why)

"""How deep JSON is nested, found without parsing it: what is too deep is refused before a parser recurses into it."""

import re

from infra.contracts import PlauditError

MAX_NESTING = 32
"""Deeper than any request of ours: a chat needs four levels, a batch of events three."""

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


class TooDeeplyNested(PlauditError):
    """JSON nested deeper than any request needs."""

    code = "too_deeply_nested"
    status = 400


def check_nesting(body: bytes, limit: int = MAX_NESTING) -> None:
    """Raise TooDeeplyNested for a body nested deeper than `limit`. Few bodies have brackets enough to be looked at."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return
    if nesting(body) > limit:
        raise TooDeeplyNested(f"the body is nested more than {limit} levels deep; flatten it")


def nesting(body: bytes) -> int:
    """The greatest depth of arrays and objects, brackets inside strings aside. Linear in the body; never raises."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest

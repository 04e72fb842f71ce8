"""Duels: two answers to one request, side by side, for a vote between them.

Which requests, and which answer stands first, is drawn from the request's own id, so no replica needs to ask another
and a repeated look gives the same. People in an arm never see another arm's answer: they get two answers of the adapter
they have anyway, or their experience would no longer be their arm's. Neither side counts in an experiment, whoever
asked; since chance alone made the duel, both arms lose the same share of requests. Nothing in the response says which
adapter wrote which answer, nor whether they were two.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from infra.contracts import BASE_ADAPTER, AdapterRef
from infra.settings.serving_parts import DuelSettings
from ingest.solicitation import decide
from serving.routing_state import Route, RoutingState, Why
from serving.wire import ROUTED, ChatRequest

HEADER = "x-plaudit-duels"
METADATA = "plaudit_duels"
_OPEN: frozenset[Why] = frozenset({"anonymous", "ineligible", "outside", "uncounted"})
"""Why a person gets the champion who is in no arm, and may therefore see what another arm says."""


@dataclass(frozen=True)
class Duel:
    """The routes of the two sides in the order shown, what they are (`opponent`), and the chance there was of a
    duel."""

    routes: tuple[Route, Route]
    opponent: str
    propensity: float


def can_show(header: str | None, metadata: Mapping[str, str], settings: DuelSettings) -> bool:
    """Whether the client says that it can show duels, or every client is taken for one."""
    return settings.all_clients or header == "1" or metadata.get(METADATA) == "1"


def possible(chat: ChatRequest, route: Route) -> bool:
    """Whether a request may become a duel at all: an ordinary chat of one answer that was left to chance."""
    return (
        chat.model == ROUTED
        and not chat.raw
        and chat.choices == 1
        and chat.sampling.seed is None
        and route.why not in ("named", "forced", "withdrawn", "unhealthy")
    )


def draw(settings: DuelSettings, project: str, response_id: str, state: RoutingState, route: Route) -> Duel | None:
    """The duel that this request becomes, if chance and what is served say so. Pure."""
    if not decide(project, response_id, 0, rate=settings.rate, salt=settings.salt).asked:
        return None
    found = _opponent(settings, state, route)
    if found is None:
        return None
    other, opponent = found
    mine = replace(route, experiment=None, arm=None, propensity=None, phase=None)
    sides = (mine, Route(other, why=mine.why))
    return Duel(sides if _first(settings.salt, response_id) else (sides[1], sides[0]), opponent, settings.rate)


def _opponent(settings: DuelSettings, state: RoutingState, route: Route) -> tuple[AdapterRef, str] | None:
    for kind in settings.opponents:
        if kind == "self":
            return route.adapter, kind
        if route.why not in _OPEN:
            continue
        found = BASE_ADAPTER if kind == "base" else _challenger(state)
        if found is not None and found != route.adapter and state.usable(found):
            return found, kind
    return None


def _challenger(state: RoutingState) -> AdapterRef | None:
    """The first candidate of the oldest running challenge that may be served."""
    for experiment in state.router.experiments:
        if experiment.kind != "holdback":
            for candidate in experiment.remaining.values():
                if state.usable(candidate):
                    return candidate
    return None


def _first(salt: str, response_id: str) -> bool:
    """A fair coin of its own."""
    return bool(hashlib.blake2b(f"{salt}\0order\0{response_id}".encode(), digest_size=1).digest()[0] & 1)

"""Headers of a response, as bytes.

| header | what |
|---|---|
| `x-plaudit-response-id`, `x-request-id` | the id that feedback names |
| `x-plaudit-adapter` | what answers; not of duels |
| `x-plaudit-feedback-token` | with this a page may give feedback on the answer |
| `x-plaudit-solicited` | the person shall be asked for a vote: its value goes into `solicited` of the event `shown` |
| `x-plaudit-duel` | the ids of the two answers shown side by side |
| `x-plaudit-experiment`, `x-plaudit-arm` | only of answers that a tester forced |
| `x-plaudit-logged: false` | the log took nothing and settings let the answer pass: feedback on it will find nothing |

Experiment and arm are not told otherwise: who knows that an answer is on trial rates it differently, and pages pass
headers on. A tester knows anyway, having asked for the arm, and never counts. Of a duel not even the adapters are told.
"""

from ingest.solicitation import HEADER as SOLICITED
from ingest.tokens import HEADER as FEEDBACK_TOKEN
from serving.exchange import Exchange
from serving.routing_state import RoutingState, place_of

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
EVENT_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_NO_STORE = (b"cache-control", b"no-store")
_TOKEN, _SOLICITED = FEEDBACK_TOKEN.encode(), SOLICITED.encode()


def headers_of(exchange: Exchange, state: RoutingState) -> Headers:
    """The headers that tell about an exchange."""
    first = exchange.turns[0]
    response_id = first.response_id.encode()
    made = [
        _NO_STORE,
        (b"x-request-id", response_id),
        (b"x-plaudit-response-id", response_id),
        (_TOKEN, first.feedback_token.encode()),
    ]
    if exchange.is_duel:
        made.append((b"x-plaudit-duel", " ".join(turn.response_id for turn in exchange.turns).encode()))
    else:
        made.append((b"x-plaudit-adapter", first.route.adapter.encode()))
    if exchange.asked_with is not None:
        made.append((_SOLICITED, repr(exchange.asked_with).encode()))
    if first.route.why == "forced":
        found = place_of(state, first.route.adapter)
        if found is not None:
            made += [(b"x-plaudit-experiment", found[0].encode()), (b"x-plaudit-arm", found[1].encode())]
    if not exchange.logged:
        made.append((b"x-plaudit-logged", b"false"))
    return made

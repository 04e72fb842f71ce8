"""What each conversation began with: a bounded memory of this replica, and the store for what it has forgotten.

The store is asked only for conversations that say themselves that they have earlier answers, along an index that is
there for experiments anyway: another one, by conversation, would cost every ingested answer. Turns that are not yet
ingested, seconds old and given by another replica, are not found: then the conversation follows its person.
"""

import threading
from collections import OrderedDict

from infra.db import Database
from serving.repository import ServingRepository
from serving.routing_state import Route, RoutingState
from serving.wire import ChatRequest

_Key = tuple[str, str]


class Conversations:
    """First routes by owner (`owner_of`) and conversation. Safe to share between threads."""

    def __init__(self, database: Database, project: str, most: int) -> None:
        self._database = database
        self._project = project
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[_Key, Route] = OrderedDict()

    def first(self, owner: str, conversation_id: str) -> Route | None:
        """The route of the conversation's first answer, from memory; None: not known here."""
        with self._lock:
            found = self._known.get((owner, conversation_id))
            if found is not None:
                self._known.move_to_end((owner, conversation_id))
        return found

    def look_up(self, user_key: str, conversation_id: str, state: RoutingState) -> Route | None:
        """The same from the store; every stored turn has its first one's adapter and arm. May block; StoreUnavailable
        passes through."""
        with self._database.reading() as connection:
            found = ServingRepository(connection, self._project).last_of_conversation(
                user_key, conversation_id, [experiment.experiment_id for experiment in state.experiments]
            )
        return None if found is None else Route(found.adapter, found.experiment, found.arm)

    def remember(self, owner: str, conversation_id: str, route: Route) -> None:
        """What answers this conversation; the least recently used one is forgotten when there are too many."""
        with self._lock:
            self._known[owner, conversation_id] = route
            self._known.move_to_end((owner, conversation_id))
            while len(self._known) > self._most:
                self._known.popitem(last=False)


def owner_of(user_key: str | None, caller: str | None) -> str | None:
    """Whose conversation it is: the person's; without a user, the caller's (an API key or an address), whose ids are
    not mixed up with another's."""
    if user_key is not None or caller is None:
        return user_key
    return f"caller {caller}"  # no user key, which has no space


def has_answers(chat: ChatRequest) -> bool:
    """Whether the request says that the conversation has been answered before."""
    return any(message.role == "assistant" for message in chat.messages)

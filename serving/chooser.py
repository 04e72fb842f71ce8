"""The route of a request, out of all that has a say in it: testers, eligibility, arms, conversations, breakers."""

import asyncio

import structlog

from ab_testing.eligibility import eligible, facts_of
from infra.contracts import PlauditError
from infra.runtime import Context
from serving.breakers import Breakers, Outcome
from serving.conversations import Conversations, has_answers, owner_of
from serving.counting import count_route
from serving.routing_state import Route, RoutingState, UnknownModel, forced_adapter, held, route, still
from serving.wire import ROUTED, ChatRequest

log = structlog.get_logger()


class Chooser:
    """One a gateway. Safe to share between threads."""

    def __init__(self, context: Context, breakers: Breakers) -> None:
        settings = context.settings
        self._rules = settings.ab_testing
        self._stale_seconds = settings.serving.state_stale_seconds
        self._breakers = breakers
        self._conversations = Conversations(
            context.database, settings.project, settings.serving.conversations_remembered
        )

    async def first_route(
        self, chat: ChatRequest, user_key: str | None, state: RoutingState, caller: str | None = None
    ) -> Route | None:
        """What answered this conversation first, if anything is known; errors of the store mean that nothing is. Of a
        conversation without a user, `caller`'s, memory alone tells."""
        owner = owner_of(user_key, caller)
        if owner is None or chat.conversation_id is None or chat.model != ROUTED:
            return None
        known = self._conversations.first(owner, chat.conversation_id)
        if known is not None or user_key is None or not has_answers(chat):
            return known
        try:
            return await asyncio.to_thread(self._conversations.look_up, user_key, chat.conversation_id, state)
        except PlauditError as error:
            log.warning("conversation_not_looked_up", reason=error.message)
            return None

    def choose(
        self,
        state: RoutingState,
        chat: ChatRequest,
        user_key: str | None,
        now: float,
        first: Route | None = None,
        forced: str | None = None,
        caller: str | None = None,
    ) -> Route:
        """The route. Raises NothingProven, and UnknownModel also for a forced arm that cannot be served."""
        if forced is not None and forced_adapter(state, forced) is None:
            raise UnknownModel(
                f"{forced[:80]!r} is neither an arm of a running experiment nor an adapter that can be served here",
                field="plaudit_force_arm",
            )
        wanted = forced or (self._rules.testers.get(user_key) if user_key is not None else None)
        chosen = route(
            state,
            chat.model,
            user_key if self._rules.hash_mode == "own" else chat.user,
            now - state.read_at <= self._stale_seconds,
            eligible=eligible(self._rules.eligibility, facts_of(chat.model, chat.metadata)),
            forced=wanted,
        )
        owner = owner_of(user_key, caller)
        if wanted is None and chat.model == ROUTED and owner is not None and chat.conversation_id is not None:
            chosen = held(state, chosen, first)
            keep = first is not None and state.usable(first.adapter)
            self._conversations.remember(owner, chat.conversation_id, first if keep and first else chosen)
        count_route(chosen.why)
        return chosen

    def still(self, state: RoutingState, taken: Route) -> Route:
        """The route of a turn that has waited and begins now."""
        now = still(state, taken)
        if now.why != taken.why:
            count_route(now.why)
        return now

    def outcome(self, state: RoutingState, taken: Route, outcome: Outcome) -> bool:
        """Tell the breakers how a request went; True when that made one of them open."""
        if taken.adapter == state.champion:
            self._breakers.champion_answered(taken.adapter, outcome)
        if taken.experiment is None or taken.arm is None:
            return False
        found = state.experiment(taken.experiment)
        if found is not None and found.kind == "holdback":
            if taken.arm != "control":
                self._breakers.new_champion_answered(taken.experiment, outcome)
            elif self._breakers.champion_before_answered(taken.experiment, outcome) is not None:
                return True
        if taken.adapter == state.champion:
            return False
        return self._breakers.arm_answered(taken.experiment, taken.arm, outcome) is not None

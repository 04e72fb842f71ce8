"""Who gets which adapter: a snapshot of the store beside what is proven here, and pure rules over both."""

from collections.abc import Callable
from dataclasses import dataclass

from ab_testing.routing import assign
from infra.contracts import BASE_ADAPTER, AdapterRef, Assignment, Experiment, PlauditError
from serving.wire import ROUTED

Assign = Callable[[Experiment, str], Assignment]


class NothingProven(PlauditError):
    """Neither the champion nor its predecessor is proven on this replica."""

    code = "adapter_not_proven"
    status = 503


class UnknownModel(PlauditError):
    """The request names a model that is not served here."""

    code = "model_not_found"
    status = 404


@dataclass(frozen=True)
class RoutingState:
    """What the store said at `read_at` and which adapters are `servable`: loaded and proven on this replica."""

    champion: AdapterRef = BASE_ADAPTER
    last_proven: AdapterRef = BASE_ADAPTER
    experiment: Experiment | None = None
    servable: frozenset[AdapterRef] = frozenset()
    read_at: float = 0.0

    def wanted(self) -> list[AdapterRef]:
        """Adapters that must be loaded, most important first."""
        arms = [self.experiment.control, self.experiment.challenger] if self.experiment else []
        return list(dict.fromkeys([self.champion, self.last_proven, *arms, BASE_ADAPTER]))


@dataclass(frozen=True)
class Route:
    """The adapter that answers, and the assignment when the person counts in an experiment."""

    adapter: AdapterRef
    experiment: str | None = None
    arm: str | None = None
    propensity: float | None = None
    phase: int | None = None


def route(state: RoutingState, model: str, user_key: str | None, fresh: bool, assigned: Assign = assign) -> Route:
    """The route of one request. Raises NothingProven, UnknownModel.

    `plaudit` is routed: a person goes by the arm of the running experiment, if both of its adapters are proven here and
    the snapshot is `fresh`; without a user, or in the uncounted middle, the champion answers. Any other model is
    pinned and never part of an experiment.
    """
    if model != ROUTED:
        if model not in state.servable:
            raise UnknownModel(
                f"model {model!r} is not served here: use {ROUTED!r}, 'base' or an adapter listed by GET /v1/models",
                field="model",
            )
        return Route(model)
    experiment = state.experiment
    if experiment is None or user_key is None or not fresh:
        return Route(standing_champion(state))
    if experiment.control != state.champion:
        # The champion was moved by a person's word: the comparison has ended, only its row does not say so yet.
        return Route(standing_champion(state))
    if not {experiment.challenger, experiment.control} <= state.servable:
        return Route(standing_champion(state))
    assignment = assigned(experiment, user_key)
    if assignment.arm is None:
        return Route(standing_champion(state))
    return Route(assignment.adapter, assignment.experiment_id, assignment.arm, assignment.propensity, assignment.phase)


def standing_champion(state: RoutingState) -> AdapterRef:
    """The champion if it is proven here, else its predecessor: a promotion takes effect here only with its proof."""
    for ref in (state.champion, state.last_proven):
        if ref in state.servable:
            return ref
    raise NothingProven(
        f"neither {state.champion} nor {state.last_proven} is proven on this replica: see adapter_proofs for the reason"
    )

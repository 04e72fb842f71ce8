"""Who gets which adapter: a snapshot of the store beside what is proven here, and pure rules over both."""

from dataclasses import dataclass, field
from typing import Literal

from ab_testing.layers import Router
from infra.contracts import BASE_ADAPTER, AdapterRef, Arm, Assignment, Experiment, PlauditError
from serving.wire import ROUTED

NOWHERE = Router("", ())
"""Routes nobody into anything."""

Why = Literal[
    "named", "forced", "anonymous", "stale", "ineligible", "outside", "uncounted", "ended", "unproven", "tripped",
    "pinned", "withdrawn", "unhealthy", "counted",
]  # fmt: skip
"""Why this adapter. named: by the request's `model`; outside: held out, or of no experiment's slot; uncounted: between
the arms; ended: another champion than the experiment's; unproven: one of its adapters is not proven here; tripped: a
circuit breaker is open; pinned: the conversation began with it;
withdrawn: its adapter was rolled back while the request waited; unhealthy: no replica of the engine serves its adapter
any more since it was routed; counted: by the person's arm. Only `counted` counts."""


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
    """What the store said at `read_at` and which adapters are `servable`: loaded and proven on this replica.

    `router` is compiled from `experiments`. `rejected` adapters were rolled back; an arm in `tripped` (experiment, arm)
    was given up by a circuit breaker of some replica. Neither is served to anybody who is routed.
    """

    champion: AdapterRef = BASE_ADAPTER
    last_proven: AdapterRef = BASE_ADAPTER
    experiments: tuple[Experiment, ...] = ()
    servable: frozenset[AdapterRef] = frozenset()
    read_at: float = 0.0
    router: Router = field(default=NOWHERE, compare=False)
    rejected: frozenset[AdapterRef] = frozenset()
    tripped: frozenset[tuple[str, Arm]] = frozenset()

    def wanted(self) -> list[AdapterRef]:
        """Adapters that must be loaded, most important first."""
        arms = [ref for experiment in self.experiments for ref in (experiment.control, *experiment.candidates)]
        return list(dict.fromkeys([self.champion, self.last_proven, *arms, BASE_ADAPTER]))

    def experiment(self, experiment_id: str) -> Experiment | None:
        """A running experiment that is routed."""
        return next((found for found in self.router.experiments if found.experiment_id == experiment_id), None)

    @property
    def given_up_champion(self) -> Experiment | None:
        """The holdback in which a breaker has given up the champion, until that is decided; None: it may answer."""
        return next(
            (
                found
                for found in self.router.experiments
                if found.kind == "holdback"
                and found.challenger == self.champion
                and (found.experiment_id, "challenger") in self.tripped
            ),
            None,
        )

    def usable(self, ref: AdapterRef) -> bool:
        """Proven here, not rolled back, and of no arm that a breaker has given up; of the champion that is asked in its
        own holdback alone."""
        if ref not in self.servable or ref in self.rejected:
            return False
        if ref == self.champion:
            return self.given_up_champion is None
        return not any(
            (experiment.experiment_id, arm) in self.tripped
            for experiment in self.router.experiments
            for arm, adapter in experiment.arms.items()
            if adapter == ref
        )


@dataclass(frozen=True)
class Route:
    """The adapter that answers, and the assignment when the person counts in an experiment."""

    adapter: AdapterRef
    experiment: str | None = None
    arm: str | None = None
    propensity: float | None = None
    phase: int | None = None
    why: Why = field(default="counted", compare=False)


def route(
    state: RoutingState,
    model: str,
    person: str | None,
    fresh: bool,
    *,
    eligible: bool = True,
    forced: str | None = None,
) -> Route:
    """The route of one request. Raises NothingProven, UnknownModel.

    `plaudit` is routed: a `person` (what the router hashes) goes by the arm of the running experiment, if all of its
    adapters are proven here and the snapshot is `fresh`; without a person, for one who is not `eligible`, outside every
    arm and wherever an arm cannot be served, the champion answers. `forced` (an arm or an adapter) is answered by that,
    if it is usable, and never counted. Any other model is pinned and never part of an experiment.
    """
    if model != ROUTED:
        if not state.servable:  # a start: whatever it is called, it may be here in a moment
            raise NothingProven("nothing is proven here yet: try again in a few seconds")
        if model not in state.servable:
            raise UnknownModel(
                f"model {model!r} is not served here: use {ROUTED!r}, 'base' or an adapter listed by GET /v1/models",
                field="model",
            )
        return Route(model, why="named")
    if forced is not None:
        ref = forced_adapter(state, forced)
        return _champion(state, "forced") if ref is None else Route(ref, why="forced")
    if person is None or not fresh or not eligible:
        return _champion(state, "anonymous" if person is None else "stale" if not fresh else "ineligible")
    assignment = state.router.draw(person)
    if assignment is None or assignment.arm is None:
        return _champion(state, "outside" if assignment is None else "uncounted")
    obstacle = _obstacle(state, assignment)
    if obstacle is not None:
        return _champion(state, obstacle)
    return Route(assignment.adapter, assignment.experiment_id, assignment.arm, assignment.propensity, assignment.phase)


def forced_adapter(state: RoutingState, forced: str) -> AdapterRef | None:
    """The usable adapter of that name, or of the arm of that name; None: none.

    Of several experiments a challenge is meant rather than a holdback, in which `challenger` is the champion; then the
    oldest.
    """
    routed = sorted(state.router.experiments, key=lambda experiment: experiment.kind == "holdback")
    found = next((e.arms[forced] for e in routed if forced in e.arms), forced)
    return found if state.usable(found) else None


def place_of(state: RoutingState, ref: AdapterRef) -> tuple[str, str] | None:
    """(experiment, arm) of a running experiment that this adapter is tried in, challenges before holdbacks."""
    routed = sorted(state.router.experiments, key=lambda experiment: experiment.kind == "holdback")
    return next(((e.experiment_id, arm) for e in routed for arm, one in e.arms.items() if one == ref), None)


def held(state: RoutingState, chosen: Route, first: Route | None) -> Route:
    """The route of a further turn of a conversation whose first answer had the route `first`; None: unknown.

    A conversation keeps its adapter while that is usable. Its turns count only as its first answer did: one that began
    before the experiment counts in neither arm, so that both arms lose the same people.
    """
    if first is None or not state.usable(first.adapter):
        return chosen
    if first.adapter == chosen.adapter and (first.experiment, first.arm) == (chosen.experiment, chosen.arm):
        return chosen
    return Route(first.adapter, why="pinned")


def still(state: RoutingState, taken: Route) -> Route:
    """The route of a turn routed as `taken` some time ago whose answer begins now.

    What was rolled back meanwhile, given up or let go of begins no answer of a routed request. Without any champion the
    route stays as it was.
    """
    if taken.why in ("named", "forced") or state.usable(taken.adapter):
        return taken
    try:
        lost = taken.adapter not in state.servable and taken.adapter not in state.rejected
        return _champion(state, "unhealthy" if lost else "withdrawn")
    except NothingProven:
        return taken


def standing_champion(state: RoutingState) -> AdapterRef:
    """The champion if it is proven here, else its predecessor: a promotion takes effect here only with its proof. One
    that a breaker has given up in its holdback comes after the champion before."""
    given_up = state.given_up_champion
    before = [] if given_up is None else [given_up.control]
    for ref in [*before, state.champion, state.last_proven]:
        if ref in state.servable:
            return ref
    raise NothingProven(
        f"neither {state.champion} nor {state.last_proven} is proven on this replica: see adapter_proofs for the reason"
    )


def _champion(state: RoutingState, why: Why) -> Route:
    return Route(standing_champion(state), why=why)


def _obstacle(state: RoutingState, assignment: Assignment) -> Why | None:
    """Why a person of an arm gets the champion all the same, uncounted; None: nothing is in the way."""
    experiment = state.experiment(assignment.experiment_id)
    if experiment is None or experiment.uncounted != state.champion:
        # The champion was moved by a person's word: the comparison has ended, only its row does not say so yet.
        return "ended"
    if assignment.arm in experiment.dropped:
        return "uncounted"
    if state.given_up_champion is not None:
        return "tripped"  # every comparison is with a champion that should not answer
    adapters = {experiment.control, *experiment.remaining.values()}
    if not adapters <= state.servable or adapters & state.rejected:
        return "unproven"
    return "tripped" if (assignment.experiment_id, assignment.arm) in state.tripped else None

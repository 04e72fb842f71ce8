"""All running experiments of a project as one immutable router, compiled once for each snapshot of the store."""

from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

from ab_testing.growthbook import HashVersion, bucket_in, namespace_bucket, outcomes
from ab_testing.routing import POINTS, edge_of, layer_salt, text_bytes, uncounted_share
from infra.contracts import Assignment, Experiment, arm_of
from infra.settings.ab_routing import HashMode

Draw = Callable[[str], Assignment | None]
"""Person -> assignment; None: in no experiment."""

_Cell = tuple[bytes, list[bytes], tuple[Assignment, ...]]
"""Prefix to hash behind, lower edges of all outcomes but the first, outcomes."""


class Router:
    """Who is where. `draw(person)` is the assignment of a person, None for people who are in no experiment.

    `person` is the user key, in GrowthBook's modes the caller's own user id: it is what GrowthBook hashes. Experiments
    of kind `sentinel` are never routed. Where slots overlap by mistake the experiment that began first has the people,
    the smaller id of two that began at once. Nothing here depends on anything but the arguments.
    """

    __slots__ = ("draw", "experiments")

    def __init__(
        self,
        project: str,
        experiments: Iterable[Experiment],
        *,
        holdout_share: float = 0.0,
        hash_mode: HashMode = "own",
    ) -> None:
        routed = sorted(
            (experiment for experiment in experiments if experiment.kind != "sentinel" and experiment.phases),
            key=lambda experiment: (experiment.started_at, experiment.experiment_id),
        )
        self.experiments: tuple[Experiment, ...] = tuple(routed)
        self.draw: Draw
        if not routed:
            self.draw = _nobody
        elif hash_mode == "own":
            self.draw = _own(project, routed, holdout_share)
        else:
            self.draw = _growthbook(project, routed, holdout_share, 1 if hash_mode == "growthbook_v1" else 2)


def _nobody(_person: str) -> None:
    return None


def _own(project: str, routed: Sequence[Experiment], holdout_share: float) -> Draw:
    """Digests are compared as they come: big-endian bytes sort as their numbers do."""
    top = POINTS - edge_of(holdout_share)
    slots = [(edge_of(low), min(edge_of(high), top)) for low, high in (experiment.slot for experiment in routed)]
    cells = [_cell(experiment) for experiment in routed]
    cuts = sorted({cut for slot in slots for cut in slot if 0 < cut < POINTS})
    owners = [_owner(slots, start) for start in (0, *cuts)]
    if owners == [0]:  # everybody is in one experiment: the layer decides nothing
        return _in_one(cells[0])
    edges = [_digest(cut) for cut in cuts]
    owned = tuple(None if owner is None else cells[owner] for owner in owners)
    return _in_layer(text_bytes(f"{layer_salt(project)}\0"), edges, owned)


def _owner(slots: Sequence[tuple[int, int]], place: int) -> int | None:
    """The first experiment whose slot holds this point of the layer."""
    return next((index for index, (low, high) in enumerate(slots) if low <= place < high), None)


def _in_one(cell: _Cell) -> Draw:
    prefix, edges, outcomes_ = cell

    def draw(person: str, find: Callable[[list[bytes], bytes], int] = bisect) -> Assignment | None:
        try:
            key = person.encode()
        except UnicodeEncodeError:
            key = text_bytes(person)
        return outcomes_[find(edges, blake2b(prefix + key, digest_size=8).digest())]

    return draw


def _in_layer(layer: bytes, cuts: list[bytes], cells: tuple[_Cell | None, ...]) -> Draw:
    def draw(person: str, find: Callable[[list[bytes], bytes], int] = bisect) -> Assignment | None:
        try:
            key = person.encode()
        except UnicodeEncodeError:
            key = text_bytes(person)
        cell = cells[find(cuts, blake2b(layer + key, digest_size=8).digest())]
        if cell is None:
            return None
        prefix, edges, outcomes_ = cell
        return outcomes_[find(edges, blake2b(prefix + key, digest_size=8).digest())]

    return draw


def _cell(experiment: Experiment) -> _Cell:
    """The arms of the newest phase as sorted edges; each outcome is one shared `Assignment`."""
    phase, known = experiment.phase, len(experiment.candidates)
    name, gone = experiment.experiment_id, experiment.dropped
    rest = Assignment(name, None, experiment.uncounted, uncounted_share(experiment), phase.index)
    pieces: list[tuple[int, Assignment]] = []
    for index, adapter in enumerate(experiment.candidates):
        left, share = arm_of(index) in gone, phase.share_of(index)
        arm = rest if left else Assignment(name, arm_of(index), adapter, share, phase.index)
        low, next_low = -(-index * POINTS // (2 * known)), -(-(index + 1) * POINTS // (2 * known))
        pieces += [(low, arm), (min(index * POINTS // (2 * known) + edge_of(share), next_low), rest)]
    control = Assignment(name, "control", experiment.control, phase.share, phase.index)
    pieces.append((POINTS - edge_of(phase.share), control))
    # Of several pieces that begin at one point the last holds: those before it are empty.
    kept = sorted({low: outcome for low, outcome in pieces if low < POINTS}.items())
    return (
        text_bytes(f"{experiment.salt}\0"),
        [_digest(low) for low, _ in kept if low > 0],
        tuple(outcome for _, outcome in kept),
    )


def _digest(place: int) -> bytes:
    return place.to_bytes(8, "big")


def _growthbook(project: str, routed: Sequence[Experiment], holdout_share: float, version: HashVersion) -> Draw:
    """The layer is a namespace called after the project, an experiment's seed its salt."""
    top = 1.0 - holdout_share
    compiled = [(e.slot, bucket_in(e.salt, version), *outcomes(e, version)) for e in routed]
    layered = bool(holdout_share) or routed[0].slot != (0.0, 1.0)

    def draw(person: str) -> Assignment | None:
        place = namespace_bucket(project, person) if layered else 0.0
        if place >= top:
            return None
        for (low, high), bucket_of, arms, rest in compiled:
            if low <= place < high:
                found = bucket_of(person)
                return next((arm for (first, end), arm in arms if first <= found < end), rest)
        return None

    return draw

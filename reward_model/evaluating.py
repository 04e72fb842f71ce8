"""Everything that is measured of a new version on its hold-out, beyond the heads' own numbers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.settings.reward_model import RewardModelSettings
from reward_model.best_of_n import BestOfN, curve
from reward_model.calibration_bins import reliability_diagram
from reward_model.calibration_error import calibration_report
from reward_model.disagreement import Disagreement, disagreement
from reward_model.drift import Drift, Window, drift
from reward_model.evaluation import auroc, cluster_index, clustered_interval, wins
from reward_model.findings import Examined, flat_of, lines_of
from reward_model.held_out import UTILITY, Judgments, Predictions, charges, held_out_judgments
from reward_model.predicting import Read, predictions
from reward_model.scoring import AnyRewardModel
from reward_model.slices import Slice, bins, mean_of, quantile_bins, sliced

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_DAY = 86_400.0
_AGES = (1.0, 7.0, 30.0)
_NS = (1, 2, 4, 8, 16)
_FEWEST_PROMPTS = 10
_RESAMPLES = 300


@dataclass(frozen=True)
class _View:
    """What every measurement looks at: judgments of the hold-out, and what the version says of all answers."""

    read: Read
    judgments: Judgments
    said: Predictions
    losses: Array
    chance: Array
    settings: RewardModelSettings

    def people(self, rows: Bools) -> list[str]:
        return [name for name, kept in zip(self.judgments.people, rows.tolist(), strict=True) if kept]


def evaluate(
    read: Read, model: AnyRewardModel, champion: AnyRewardModel | None, served: str, settings: RewardModelSettings
) -> Examined:
    """Measure `model` on the hold-out of `read`; `served` is the policy people are answered by now."""
    judgments = held_out_judgments(read.data, None, model.objectives)
    everything = np.arange(len(read.data.answers))
    said = predictions(model, read, everything)
    view = _View(read, judgments, said, charges(judgments, said), charges(judgments, Predictions({})), settings)
    heads = [name for name in model.objectives if judgments.of(name).any()]
    calibrated = {name: _calibration(view, name) for name in heads if name != UTILITY}
    slices = {name: _slices(view, name) for name in heads}
    served_rows = {name: _on_policy(view, name, served) for name in heads}
    best = _best_of_n(view)
    moved = _drift(view)
    theirs = None if champion is None else predictions(champion, read, everything)
    other = None if theirs is None else _disagreement(view, theirs)
    document = {
        "judgments": len(judgments),
        "heads": {name: _measured(view, name, np.flatnonzero(judgments.of(name))) for name in heads},
        "calibration": {name: report for name, (report, _) in calibrated.items()},
        "slices": {name: [asdict(one) for one in found] for name, found in slices.items()},
        "current_policy": {"adapter": served, "heads": served_rows},
        "new_people": {name: _new_people(view, name) for name in heads},
        "best_of_n": None if best is None else asdict(best) | {"best_n": best.best_n, "won": best.won},
        "drift": asdict(moved) | {"drifted": moved.drifted},
        "disagreement": None if other is None else _changed(other, read),
    }
    sides = None
    if other is not None and theirs is not None:
        held = read.data.split.held_out
        sides = said.values[other[0]][held], theirs.values[other[0]][held]
    columns = {name: parts for name, (_, parts) in calibrated.items()}
    return Examined(document, flat_of(document), lines_of(document), columns, slices, best, moved, sides)


def _calibration(view: _View, head: str) -> tuple[dict[str, Any], tuple[Array, Array, Array]]:
    """The report with its reliability diagram, and the (probabilities, targets, weights) both are made of."""
    rows = view.judgments.of(head)
    people, _ = cluster_index(view.people(rows))
    targets, weights, first = view.judgments.target[rows], view.judgments.weight[rows], view.judgments.first[rows]
    probabilities = view.said.values[head][first]
    report = calibration_report(
        targets,
        probabilities,
        weights,
        people,
        questions=view.read.data.split.groups[first],  # one group where a prompt or a conversation is shared
        base_rate=view.judgments.chance[head],
        resamples=_RESAMPLES,
        seed=view.settings.seed,
    )
    diagram = reliability_diagram(targets, probabilities, weights, people)
    points = {name: getattr(diagram, name).tolist() for name in ("share", "predicted", "observed")}
    return report.document() | {"reliability": points}, (probabilities, targets, weights)


def _slices(view: _View, head: str) -> tuple[Slice, ...]:
    """Nats gained over chance a judgment (pairs: accuracy), by policy, source, age, length and whose judgment it is."""
    rows = np.flatnonzero(view.judgments.of(head))
    first, data = view.judgments.first[rows], view.read.data
    answers = [data.answers[row] for row in first]
    newest = max((answer.created_at for answer in data.answers), default=0.0)
    ages = np.array([(newest - answer.created_at) / _DAY for answer in answers])
    lengths = np.array([float(len(answer.text)) for answer in answers])
    columns = {
        "policy": [answer.adapter for answer in answers],
        "arm": [answer.arm or "no experiment" for answer in answers],
        "source": _sources(view, head, rows),
        "age": bins(ages, _AGES, "days"),
        "length": quantile_bins(lengths, 4, "characters"),
        "person": ["new" if new else "known" for new in data.held_out_person[first].tolist()],
    }
    metric = mean_of(_gains(view, head, rows), view.judgments.weight[rows])
    people = [view.judgments.people[row] for row in rows]
    return sliced(metric, columns, people, resamples=_RESAMPLES, seed=view.settings.seed)


def _gains(view: _View, head: str, rows: Ints) -> Array:
    """[S]: nats gained over chance by each judgment; for pairs 1 where the preferred answer scored higher."""
    if head != UTILITY:
        return np.asarray(view.chance[rows] - view.losses[rows])
    values = view.said.values[head]
    return wins(values[view.judgments.first[rows]] - values[view.judgments.second[rows]])


def _sources(view: _View, head: str, rows: Ints) -> list[str]:
    data = view.read.data
    if head != UTILITY:
        return [data.answers[row].origin for row in view.judgments.first[rows]]
    source = {tuple(pair): name for pair, name in zip(data.pairs.tolist(), data.pair_sources, strict=True)}
    sides = zip(view.judgments.first[rows].tolist(), view.judgments.second[rows].tolist(), strict=True)
    return [source[side] for side in sides]


def _on_policy(view: _View, head: str, served: str) -> dict[str, Any]:
    """How well the answers of the policy that is served now are told apart: what the next policy is trained against."""
    adapters = np.array([answer.adapter == served for answer in view.read.data.answers], bool)
    rows = np.flatnonzero(view.judgments.of(head) & adapters[view.judgments.first])
    return _measured(view, head, rows)


def _new_people(view: _View, head: str) -> dict[str, Any]:
    """The same on judgments by people nothing was learned from."""
    new = view.read.data.held_out_person[view.judgments.first]
    return _measured(view, head, np.flatnonzero(view.judgments.of(head) & new))


def _measured(view: _View, head: str, rows: Ints) -> dict[str, Any]:
    found: dict[str, Any] = {"judgments": len(rows)}
    if not len(rows):
        return found
    people, _ = cluster_index([view.judgments.people[row] for row in rows])
    weights = view.judgments.weight[rows]
    gained = clustered_interval(
        _gains(view, head, rows), people, weights, resamples=_RESAMPLES, seed=view.settings.seed
    )
    found["accuracy" if head == UTILITY else "gain_nats"] = asdict(gained)
    if head != UTILITY:
        found["auroc"] = auroc(view.judgments.target[rows], view.said.values[head][view.judgments.first[rows]], weights)
    return found


def _best_of_n(view: _View) -> BestOfN | None:
    """Choosing by the utility (else by the first head) among held-out labelled answers to one prompt; the truth is the
    label of the first objective."""
    data = view.read.data
    scorer = next((name for name in (UTILITY, *data.objectives) if name in view.said.values), None)
    if not data.objectives or scorer is None:
        return None
    told = np.flatnonzero(~np.isnan(data.targets[:, 0]) & data.split.held_out)
    prompts: dict[str, list[int]] = {}
    for row in told.tolist():
        prompts.setdefault(data.answers[row].prompt_key, []).append(row)
    groups = [rows for rows in prompts.values() if len(rows) > 1]
    sizes = [n for n in _NS if sum(len(rows) >= n for rows in groups) >= _FEWEST_PROMPTS]
    if len(sizes) < 2:
        return None
    width = max(map(len, groups))
    scores, truth = (np.full((len(groups), width), np.nan) for _ in range(2))
    for index, rows in enumerate(groups):
        scores[index, : len(rows)] = view.said.values[scorer][rows]
        truth[index, : len(rows)] = data.targets[rows, 0]
    return curve(scores, truth, sizes, resamples=_RESAMPLES, seed=view.settings.seed)


def _drift(view: _View) -> Drift:
    """The hold-out is the newest stretch of time: has what is scored and said moved since what was learned from?"""
    data = view.read.data

    def window(rows: Bools) -> Window:
        return Window(
            people=[data.people[row] for row in np.flatnonzero(rows)],
            scores={name: values[rows] for name, values in view.said.values.items()},
            labels={name: data.targets[rows, k] for k, name in enumerate(data.objectives)},
        )

    return drift(window(data.split.training), window(data.split.held_out))


def _disagreement(view: _View, other: Predictions) -> tuple[str, Disagreement] | None:
    head = next(
        (name for name in (UTILITY, *view.said.values) if name in view.said.values and name in other.values), ""
    )
    held = np.flatnonzero(view.read.data.split.held_out)
    if not head or len(held) < 3:
        return None
    place = {row: index for index, row in enumerate(held.tolist())}
    pairs = [[place[a], place[b]] for a, b in view.read.data.pairs.tolist() if a in place and b in place]
    groups = [view.read.data.answers[row].conversation_id for row in held]
    found = disagreement(
        view.said.values[head][held],
        other.values[head][held],
        groups,
        np.array(pairs, np.int64).reshape(-1, 2),
        resamples=_RESAMPLES,
        seed=view.settings.seed,
    )
    return head, Disagreement(found.rank_correlation, found.flips, tuple(int(held[row]) for row in found.most_changed))


def _changed(found: tuple[str, Disagreement], read: Read) -> dict[str, Any]:
    head, change = found
    keys = [read.data.answers[row].key for row in change.most_changed]
    return {
        "head": head,
        "rank_correlation": None if change.rank_correlation is None else asdict(change.rank_correlation),
        "flips": None if change.flips is None else asdict(change.flips),
        "most_changed": [f"{response_id}#{choice}" for response_id, choice in keys],
    }

"""One cell of the table: a data set, a kind of noise and a level; all losses tuned alike, judged on clean unseen pairs.

A *run* is a seed (which draws raters, errors and folds) and an outer fold. Inside a run's training pairs, INNER folds
by group choose each loss's penalty and own parameter by the likelihood of the corrupted records of unseen pairs, at the
best common scale of the margins. All runs and candidates of a loss are solved in one batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reward_model.losses import NoiseParameters, e_step, log_mixed_probability, pair_loss
from reward_model.rater_noise import RaterFit, fit_raters, told_log_odds
from reward_model.reliability import per_person, separation
from reward_model.split import grouped_folds
from tests.benchmarks.reward_pairs import RealPairs
from tests.benchmarks.reward_raters import RATERS, Rated, rate
from tests.benchmarks.reward_solver import solve

Array = NDArray[np.float64]

OUTER, INNER = 5, 3
PENALTIES = (1e-3, 3e-3, 1e-2, 3e-2)
_SCALES = torch.logspace(-2.0, 1.2, 17)
_RATES = (0.1, 0.3)
_THRESHOLDS = (2.0, 10.0, 100.0)


@dataclass(frozen=True)
class Contender:
    """A loss on records one by one, with the candidates of its own parameter."""

    loss: str
    candidates: tuple[NoiseParameters, ...] = (NoiseParameters(),)


def _candidates(name: str, values: Sequence[float]) -> tuple[NoiseParameters, ...]:
    return tuple(NoiseParameters(**{name: value}) for value in values)


CONTENDERS: tuple[Contender, ...] = (
    Contender("bt"),
    Contender("label_smoothed", _candidates("flip_rate", _RATES)),
    Contender("rdpo", _candidates("flip_rate", _RATES)),
    Contender("forward_corrected", _candidates("flip_rate", _RATES)),
    Contender("sigmoid"),
    Contender("phuber", _candidates("threshold", (2.0, 10.0))),
    Contender("huber_of_loss", _candidates("huber_delta", (0.5, 1.0))),
    Contender("modified_huber"),
    Contender("truncated_hinge"),
    Contender("gce", _candidates("exponent", (0.3, 0.7))),
    Contender("ropo", _candidates("ropo_alpha", (2.0, 14.0))),
    Contender("rao_kupper", _candidates("tie_ratio", (1.2, 2.0))),
)
"""Compared by records. `vrpo` is left out: it needs answers sampled from a serving policy, which these sets lack."""


@dataclass(frozen=True)
class Cell:
    """right [loss][U]: share of seeds in which the held-out pair was ordered truly; `by_seed` [loss][S] accuracies;
    estimated and realised flip rate of each run; area: AUROC of the coordinated raters by reliability, each run."""

    right: dict[str, Array]
    by_seed: dict[str, list[float]]
    estimated: list[float]
    realised: list[float]
    area: list[float] = field(default_factory=list)


class Contest:
    """The runs of one cell, and what they share."""

    def __init__(self, pairs: RealPairs, kind: str, level: float, seeds: int) -> None:
        self.pairs, self.seeds = pairs, seeds
        self.x = torch.from_numpy(pairs.differences).float()
        self.rated = [rate(pairs, kind, level, seed) for seed in range(seeds)]
        self.outer = [grouped_folds(pairs.groups, OUTER, seed) for seed in range(seeds)]
        self.runs = [(seed, fold) for seed in range(seeds) for fold in range(OUTER)]
        self.train = np.stack([self.outer[s] != k for s, k in self.runs], 1)
        self.inner = torch.from_numpy(
            np.stack([grouped_folds(pairs.groups, INNER, 1000 + 10 * s + k) for s, k in self.runs], 1)
        )
        votes = [self._votes(rated) for rated in self.rated]
        mask = torch.from_numpy(self.train).float()
        self.ahead = torch.stack([votes[s][0] for s, _ in self.runs], 1) * mask
        self.behind = torch.stack([votes[s][1] for s, _ in self.runs], 1) * mask

    def _votes(self, rated: Rated) -> tuple[Tensor, Tensor]:
        made = rated.judgments
        first = np.bincount(made.pair, made.says, made.pairs)
        second = np.bincount(made.pair, 1.0 - made.says, made.pairs)
        return torch.from_numpy(first).float(), torch.from_numpy(second).float()

    def tuned(
        self,
        ahead: Tensor,
        behind: Tensor,
        losses: Sequence[Callable[[Tensor, Tensor], Tensor]],
        rates: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(W [R, C], unseen margins [U, C]) with penalty and candidate chosen, run by run. `losses`: candidates, each
        a function of margins and the rates of the same columns; rates [U, C] or None."""
        none = torch.zeros_like(ahead) if rates is None else rates
        starts = self._starts(ahead, behind)
        scores, unseen = zip(*(self._validated(ahead, behind, loss, none, starts) for loss in losses), strict=True)
        table = torch.stack(scores, 1).flatten(1)  # [C, candidates x penalties]
        best = table.argmax(1)
        which, penalty = best // len(PENALTIES), best % len(PENALTIES)
        w = torch.zeros(self.x.shape[1], len(self.runs))
        margins = torch.zeros_like(ahead)
        for candidate, loss in enumerate(losses):
            rows = (which == candidate).nonzero()[:, 0]
            if len(rows):
                l2 = torch.tensor(PENALTIES)[penalty[rows]]
                w[:, rows] = self._solved(ahead[:, rows], behind[:, rows], l2, loss, none[:, rows])
                margins[:, rows] = unseen[candidate][:, rows, penalty[rows]]
        return w, margins

    def _columns(self, ahead: Tensor, behind: Tensor, fold: int) -> tuple[Tensor, Tensor, Tensor]:
        """Masses [U, penalties x C] without the inner fold, and the penalties of the columns."""
        count, times = len(self.runs), len(PENALTIES)
        seen = (self.inner != fold).float()
        l2 = torch.tensor(PENALTIES).repeat_interleave(count)
        return (ahead * seen).repeat(1, times), (behind * seen).repeat(1, times), l2

    def _starts(self, ahead: Tensor, behind: Tensor) -> list[Tensor]:
        """Bradley-Terry without each inner fold: where every candidate begins, since most losses are not convex."""
        none = torch.zeros_like(ahead)
        return [
            solve(self.x, *self._columns(ahead, behind, f), lambda z: _bradley_terry(z, none)) for f in range(INNER)
        ]

    def _validated(
        self,
        ahead: Tensor,
        behind: Tensor,
        loss: Callable[[Tensor, Tensor], Tensor],
        rates: Tensor,
        starts: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Scores [C, penalties] and unseen margins [U, C, penalties] of one candidate."""
        count, penalties = len(self.runs), len(PENALTIES)
        margins = torch.zeros(*ahead.shape, penalties)
        wide = rates.repeat(1, penalties)
        for fold, start in enumerate(starts):
            w = start
            if loss is not _bradley_terry:
                w = solve(self.x, *self._columns(ahead, behind, fold), lambda z: loss(z, wide), start)
            found = (self.x @ w).reshape(len(self.x), penalties, count).transpose(1, 2)
            margins = torch.where((self.inner == fold)[..., None], found, margins)
        total = (ahead + behind).sum(0)
        scores = torch.stack([self._score(margins[..., p], ahead, behind, rates) for p in range(penalties)], 1)
        return scores / total[:, None], margins

    def _score(self, margins: Tensor, ahead: Tensor, behind: Tensor, rates: Tensor) -> Tensor:
        """Log-likelihood [C] of the records at the best common scale of the margins; pairs outside training weigh 0."""
        unit = margins / margins.square().mean(0).sqrt().clamp_min(1e-12)
        tries = [
            (ahead * log_mixed_probability(a * unit, rates) + behind * log_mixed_probability(-a * unit, rates)).sum(0)
            for a in _SCALES
        ]
        return torch.stack(tries).amax(0)

    def _solved(
        self, ahead: Tensor, behind: Tensor, l2: Tensor, loss: Callable[[Tensor, Tensor], Tensor], rates: Tensor
    ) -> Tensor:
        start = solve(self.x, ahead, behind, l2, lambda z: _bradley_terry(z, rates))
        return start if loss is _bradley_terry else solve(self.x, ahead, behind, l2, lambda z: loss(z, rates), start)

    def by_records(self, contender: Contender) -> tuple[Tensor, Tensor]:
        """`tuned` for a loss that takes the records one by one."""
        function = pair_loss(contender.loss)
        losses = (
            [_bradley_terry] if contender.loss == "bt" else [_bound(function, told) for told in contender.candidates]
        )
        return self.tuned(self.ahead, self.behind, losses)

    def jointly(self, log_odds: Array, thresholds: Sequence[float] = _THRESHOLDS) -> tuple[Tensor, Tensor]:
        """`huber_bt` on the sides that the log-odds [U, C] of the records favour, with their flip rates."""
        mask = torch.from_numpy(self.train).float()
        ahead = torch.from_numpy((log_odds >= 0.0).astype(np.float32)) * mask
        rates = torch.from_numpy(1.0 / (1.0 + np.exp(np.abs(log_odds)))).float().clamp(1e-6, 0.4999)
        return self.tuned(ahead, mask - ahead, [_huber(t) for t in thresholds], rates)

    def majority(self) -> tuple[Tensor, Tensor]:
        """Bradley-Terry on the majority of each pair's records."""
        mask = torch.from_numpy(self.train).float()
        ahead = (self.ahead > self.behind).float() * mask
        return self.tuned(ahead, mask - ahead, [_bradley_terry])

    def by_source(self, margins: Tensor, rounds: int = 3) -> Tensor:
        """`repo_em`: each rater's reliability by EM on unseen margins, records still one by one."""
        for _ in range(rounds):
            made = [self._held(run, margins[:, i].numpy()) for i, run in enumerate(self.runs)]
            ahead, behind = (torch.from_numpy(np.stack(side, 1)).float() for side in zip(*made, strict=True))
            w, margins = self.tuned(ahead, behind, [_bradley_terry])
        return w

    def _held(self, run: tuple[int, int], margins: Array) -> tuple[Array, Array]:
        """Mass [U] for each order of the pairs, once every record is believed as far as it deserves."""
        judgments = self.rated[run[0]].judgments.of((self.outer[run[0]] != run[1])[self.rated[run[0]].judgments.pair])
        signed = torch.from_numpy(np.where(judgments.says > 0.5, 1.0, -1.0) * margins[judgments.pair])
        reliability = np.full(RATERS, 0.8)
        for _ in range(10):
            holds = e_step(signed, torch.from_numpy(reliability[judgments.judge])).numpy()
            reliability = np.bincount(judgments.judge, holds, RATERS) / np.bincount(judgments.judge, minlength=RATERS)
            reliability = np.clip(reliability, 0.02, 0.98)
        up = np.where(judgments.says > 0.5, holds, 1.0 - holds)
        size = judgments.pairs
        return np.bincount(judgments.pair, up, size), np.bincount(judgments.pair, 1.0 - up, size)

    def raters(self, margins: Tensor, before: Sequence[RaterFit] | None = None) -> list[RaterFit]:
        """The product's noise model on each run's training records, with unseen margins."""
        found = []
        for i, (seed, fold) in enumerate(self.runs):
            judgments = self.rated[seed].judgments
            found.append(
                fit_raters(
                    judgments.of((self.outer[seed] != fold)[judgments.pair]),
                    margins=margins[:, i].double().numpy(),
                    lengths=self.pairs.lengths,
                    start=None if before is None else before[i],
                    rounds=60 if before is None else 20,
                )
            )
        return found

    def told(self) -> Array:
        """What the records say to somebody who knows how they err, [U, C]."""
        known = [told_log_odds(r.judgments, r.wrong_if_first, r.wrong_if_second) for r in self.rated]
        return np.stack([known[s] for s, _ in self.runs], 1)

    def right(self, w: Tensor) -> tuple[Array, list[float]]:
        """Share of seeds [U] in which a pair was ordered truly by the run that held it out, and accuracy by seed."""
        ordered = ((self.x @ w).numpy() * self.pairs.truth[:, None]) > 0.0
        held = np.stack([(ordered & ~self.train)[:, s * OUTER : (s + 1) * OUTER].any(1) for s in range(self.seeds)], 1)
        return held.mean(1), held.mean(0).tolist()


def _bradley_terry(z: Tensor, rates: Tensor) -> Tensor:
    return -torch.nn.functional.logsigmoid(z)


def _bound(function: Callable[[Tensor, NoiseParameters], Tensor], told: NoiseParameters) -> Callable[..., Tensor]:
    return lambda z, rates: function(z, told)


def _huber(threshold: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda z, rates: pair_loss("huber_bt")(z, NoiseParameters(rates, threshold))


def contest(pairs: RealPairs, kind: str, level: float, seeds: int, *, every: bool = True) -> Cell:
    """Every loss on one cell; without `every` only the default, what it is measured by, and what comes close."""
    torch.manual_seed(0)
    made = Contest(pairs, kind, level, seeds)
    weights: dict[str, Tensor] = {}
    for contender in CONTENDERS if every else CONTENDERS[:1]:
        w, margins = made.by_records(contender)
        weights[contender.loss] = w
        if contender.loss == "bt":
            plain = margins
    weights["bt on majorities"] = made.majority()[0]
    weights["repo_em"] = made.by_source(plain)
    first = made.raters(plain)
    _, unseen = made.jointly(np.stack([fit.log_odds for fit in first], 1), _THRESHOLDS[-1:])
    raters = made.raters(unseen, first)
    weights["huber_bt"] = made.jointly(np.stack([fit.log_odds for fit in raters], 1))[0]
    weights["huber_bt, told"] = made.jointly(made.told())[0]
    judged = {name: made.right(w) for name, w in weights.items()}
    return Cell(
        {name: right for name, (right, _) in judged.items()},
        {name: seeds_ for name, (_, seeds_) in judged.items()},
        [float(fit.wrong.mean()) for fit in raters],
        [made.rated[s].realised for s, _ in made.runs],
        [
            separation(per_person(made.rated[s].judgments, fit), sorted(made.rated[s].coordinated))
            for (s, _), fit in zip(made.runs, raters, strict=True)
            if made.rated[s].coordinated
        ],
    )

"""How much of what noise costs plain Bradley-Terry does each loss win back?

    python -m tests.benchmarks.bench_reward_losses [--seeds 5] [--pairs 600]

Linear tastes in 20 dimensions; training preferences follow them and are then flipped: at random, or by bots whose
extreme pairs all point one way. `huber_bt` estimates the flip rate itself; the losses marked `_oracle` are told it.
Accuracy is against the *true* preference on unseen pairs. `won back` = (loss - bt) / (best oracle - bt) of the means,
left out where the oracle's own gain over bt is within two standard errors over seeds. All losses see the same data in
one run, with the penalty chosen out of fold for each; the median and the range over seeds are printed.
"""

import argparse

import numpy as np
import torch

from reward_model.heads import fit_utility
from reward_model.losses import NoiseParameters
from reward_model.objective_head import FitOptions
from reward_model.split import grouped_folds
from reward_model.utility_head import UtilityOptions, fit_utility_head

WIDTH = 20
CELLS = (("clean", 0.0, 0.0), ("20 % flips", 0.2, 0.0), ("30 % flips", 0.3, 0.0), ("15 % bots", 0.0, 0.15))
"""Name, share of random flips, share of planted pairs."""
GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)


def sample(count: int, flips: float, bots: float, rng: np.random.Generator, direction: np.ndarray) -> torch.Tensor:  # type: ignore[type-arg]
    """Differences preferred - other, [count, WIDTH], of unit mean square."""
    z = rng.normal(size=(count, WIDTH)) / WIDTH**0.5
    prefers = rng.random(count) < 1 / (1 + np.exp(-z @ direction))
    prefers ^= rng.random(count) < flips
    rows = np.where(prefers[:, None], z, -z)
    planted = rng.random(count) < bots
    against = -direction / np.linalg.norm(direction) + 0.5 * rng.normal(size=WIDTH) / WIDTH**0.5
    rows[planted] = 3.0 * against + 0.1 * rng.normal(size=(int(planted.sum()), WIDTH)) / WIDTH**0.5
    return torch.from_numpy(rows)


def fit_all(differences: torch.Tensor, true_rate: float) -> dict[str, torch.Tensor]:
    count = len(differences)
    weights, groups = np.ones(count), np.arange(count)
    options = UtilityOptions(FitOptions(GRID, 5, 0, 0), "huber_bt", (2.0, 4.0, 10.0, 100.0), 0.45)
    fitted = fit_utility_head(differences, weights, groups, np.arange(count, dtype=float), options)
    told = NoiseParameters(true_rate, fitted.noise.threshold)
    found = {"bt": fitted.plain, "huber_bt": fitted.parameters[0]}
    v = torch.ones(count).double()
    for loss in ("huber_bt", "rdpo", "label_smoothed"):
        found[f"{loss}_oracle"] = _chosen(differences, v, loss, told)
    return found


def _chosen(differences: torch.Tensor, v: torch.Tensor, loss: str, told: NoiseParameters) -> torch.Tensor:
    """The penalty that predicts best out of fold, then a fit on everything."""
    folds = grouped_folds(np.arange(len(differences)), 5, 0)
    scores = {}
    for l2 in GRID:
        right = 0
        for fold in range(5):
            inside = torch.from_numpy(folds != fold)
            start = fit_utility(differences[inside], v[inside], l2)
            w = fit_utility(differences[inside], v[inside], l2, loss, told, start)
            right += int((differences[~inside] @ w > 0).sum())
        scores[l2] = right
    best = max(scores, key=lambda l2: (scores[l2], l2))
    return fit_utility(differences, v, best, loss, told, fit_utility(differences, v, best))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=600)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, flips, bots in CELLS:
        results: dict[str, list[float]] = {}
        for seed in range(arguments.seeds):
            rng = np.random.default_rng(seed)
            direction = rng.normal(size=WIDTH) * 3.0
            train = sample(arguments.pairs, flips, bots, rng, direction)
            test = torch.from_numpy(rng.normal(size=(5000, WIDTH)))
            truth = torch.sign(test @ torch.from_numpy(direction))
            for loss, w in fit_all(train, max(flips, 0.001)).items():
                results.setdefault(loss, []).append(float((torch.sign(test @ w) == truth).double().mean()))
        _print(name, results)


def _print(name: str, results: dict[str, list[float]]) -> None:
    table = {loss: np.array(values) for loss, values in results.items()}
    oracle = max(("rdpo_oracle", "huber_bt_oracle"), key=lambda loss: float(table[loss].mean()))
    gain = table[oracle] - table["bt"]
    noise = float(gain.std(ddof=1)) / len(gain) ** 0.5 if len(gain) > 1 else float("inf")
    print(f"{name}:")
    for loss, values in table.items():
        line = f"  {loss:22s} median {np.median(values):.3f}  range {values.min():.3f} to {values.max():.3f}"
        if loss != "bt" and gain.mean() > 2.0 * noise:
            line += f"  won back {(values - table['bt']).mean() / gain.mean():.0%}"
        print(line)


if __name__ == "__main__":
    main()

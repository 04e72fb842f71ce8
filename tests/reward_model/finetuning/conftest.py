"""Examples that a tiny model can learn: the preferred answer has an even token at its end."""

import numpy as np
import pytest

from reward_model.finetuning.examples import Examples


def make_examples(pairs: int = 12, labelled: int = 4, seed: int = 0) -> Examples:
    """`pairs` preferences, then `labelled` answers alone; one objective, on the answers alone and every third pair."""
    draw = np.random.default_rng(seed)
    sequences, targets = [], []
    for number in range(2 * pairs + labelled):
        good = number % 2 == 0
        prompt = [1, 50 + number // 2, 51 + number // 2]
        body = draw.integers(20, 200, size=int(draw.integers(1, 6))).tolist()
        sequences.append((*prompt, *body, int(draw.integers(100, 110)) * 2 + (0 if good else 1), 2))
        told = number >= 2 * pairs or number // 2 % 3 == 0
        targets.append(float(good) if told else np.nan)
    count = len(sequences)
    return Examples(
        sequences=tuple(sequences),
        pairs=np.arange(2 * pairs, dtype=np.int64).reshape(-1, 2),
        pair_weights=draw.uniform(0.5, 1.5, pairs),
        pair_soft=np.where(np.arange(pairs) % 4 == 1, 0.8, 1.0),
        flip_rates=np.full(pairs, 0.1),
        objectives=("love", "never"),
        targets=np.stack([np.array(targets), np.full(count, np.nan)], 1),
        weights=np.ones((count, 2)),
        groups=np.arange(count, dtype=np.int64) // 2,
        log_lengths=np.log1p([len(s) for s in sequences]),
    )


@pytest.fixture
def examples() -> Examples:
    return make_examples()

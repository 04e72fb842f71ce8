"""What a reward head's first values and rate do to what it learns from few pairs: the head alone, on frozen states.

    python -m tests.benchmarks.bench_reward_heads [--out FOLDER]

The states of the last token of real judged pairs (hh-rlhf) under the base model are read once and kept in `--out`; then
heads are trained as a fine-tuning trains them (Bradley-Terry, AdamW, clipping, a rate that falls linearly to 0), for
each initial spread and rate over 40 seeds of first values and order. Prints the table of
`docs/benchmarks/reward-training.md`: hold-out accuracy, its standard deviation over seeds, first and last loss.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infra.models.fetch import fetch_base
from infra.models.loading import decoder_and_head, load_folder
from infra.models.packed_attention import packed_hidden
from infra.models.packing import budgeted, pack, packed_size
from infra.settings import load_settings
from tests.benchmarks.reward_training_data import conversations, split, tokenised

SPREADS = {"1/sqrt(H + 1)": 1.0 / 577**0.5, "0.02 (TRL)": 0.02, "0.005": 0.005, "0": 0.0}
RATES = (5e-4, 2e-3, 5e-3)


@torch.no_grad()
def read_states(max_length: int, held_out: int) -> dict[str, Tensor]:
    """States [M, 2, H] of the closing tokens of the training pairs and of the held-out ones."""
    loaded = load_folder(fetch_base(load_settings()), device="cpu")
    pairs = tokenised(loaded, conversations(), max_length)
    decoder, _ = decoder_and_head(loaded.model)

    def states(rows: list[int]) -> Tensor:
        groups = [pairs[i] for i in rows]
        found = []
        for batch in budgeted([packed_size(group) for group in groups], 1024):
            packed = pack([groups[i] for i in batch])
            found.append(packed_hidden(decoder, packed)[packed.last].float())
        return torch.cat(found).view(len(rows), 2, -1)

    training, held = split(pairs, held_out)
    return {"train": states(training), "held": states(held)}


def learn(
    train: Tensor, held: Tensor, spread: float, rate: float, seed: int, steps: int, batch: int
) -> tuple[float, float, float]:
    """Hold-out accuracy, first loss, mean of the last six losses; train, held [M, H] are differences of states."""
    draw = torch.Generator().manual_seed(seed)
    weight = (torch.randn(train.shape[1], generator=draw) * spread).requires_grad_()
    optimizer = torch.optim.AdamW([weight], lr=rate, weight_decay=0.0)
    order = np.random.default_rng(seed + 100).permutation(len(train))
    losses = []
    for step in range(steps):
        loss = torch.nn.functional.softplus(-(train[order[step * batch : (step + 1) * batch]] @ weight)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_([weight], 1.0)
        optimizer.param_groups[0]["lr"] = rate * (1.0 - step / steps)
        optimizer.step()
        losses.append(float(loss.detach()))
    right = float((held @ weight.detach() > 0).float().mean())
    return right, losses[0], float(np.mean(losses[-6:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("plaudit-data/bench-reward-heads"))
    parser.add_argument("--max-length", type=int, default=192)
    parser.add_argument("--held-out", type=int, default=300)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    kept = arguments.out / f"states-{arguments.max_length}-{arguments.held_out}.pt"
    if not kept.is_file():
        arguments.out.mkdir(parents=True, exist_ok=True)
        torch.save(read_states(arguments.max_length, arguments.held_out), kept)
    states = torch.load(kept, weights_only=True)
    train, held = (states[name][:, 0] - states[name][:, 1] for name in ("train", "held"))
    everything = torch.cat([states["train"], states["held"]])
    print(f"{len(train)} training pairs, {len(held)} held out; root mean square of the states {_rms(everything):.2f}, "
          f"of the difference within a pair {_rms(train):.2f}")  # fmt: skip
    print("| first values, standard deviation | rate | accuracy | sd over seeds | first loss | last losses |")
    print("|---|---|---|---|---|---|")
    for name, spread in SPREADS.items():
        for rate in RATES:
            found = np.array(
                [learn(train, held, spread, rate, s, arguments.steps, arguments.batch) for s in range(arguments.seeds)]
            )
            right, first, last = found.mean(0)
            print(f"| {name} | {rate:g} | {right:.1%} | {found[:, 0].std():.1%} | {first:.3f} | {last:.3f} |")


def _rms(values: Tensor) -> float:
    return float(values.square().mean().sqrt())


if __name__ == "__main__":
    main()

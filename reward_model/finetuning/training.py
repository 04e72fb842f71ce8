"""LoRA and heads trained on pairs and labels: deterministic for a seed, and resumed bit for bit after a kill."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infra.contracts import PlauditError
from infra.models.loading import LoadedModel
from reward_model.features import Progress, TrainingStopped
from reward_model.finetuning.batches import Batch, Batches
from reward_model.finetuning.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from reward_model.finetuning.examples import Examples
from reward_model.finetuning.model import Scorer
from reward_model.finetuning.objective import label_sum, pair_sum
from reward_model.finetuning.optimizer import MasterAdamW
from reward_model.finetuning.options import FinetuneOptions

UTILITY = "utility"


class FinetuningDiverged(PlauditError):
    """A training most of whose steps could not be taken."""

    code = "finetuning_diverged"


@dataclass(frozen=True)
class Finetuned:
    """`columns`: the heads' names, objectives with labels first and `utility` last where there were pairs. `losses`: of
    each step. `skipped`: steps whose gradient was not finite."""

    scorer: Scorer
    columns: tuple[str, ...]
    losses: tuple[float, ...]
    skipped: int


@dataclass(frozen=True)
class Checkpoints:
    """A checkpoint at `path` after every `every` steps and the last one, and when the training is stopped."""

    path: Path
    every: int = 20


def train_lora_reward_model(
    loaded: LoadedModel,
    examples: Examples,
    options: FinetuneOptions,
    *,
    checkpoints: Checkpoints | None = None,
    progress: Progress = lambda _fraction, _text: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Finetuned:
    """Train on all `examples`; the base in `loaded` is left as it is.

    Equal arguments on one machine give equal weights on a CPU, whether or not the training was killed on the way: after
    a kill it goes on from the checkpoint. Raises TrainingStopped, CheckpointRefused, CheckpointNotWritten, or
    FinetuningDiverged.
    """
    columns = columns_of(examples)
    scorer = Scorer.fresh(loaded, options, len(columns))
    _start_at_base_rates(scorer, examples, columns)
    optimizer = _optimizer(scorer, options)
    fingerprint = training_fingerprint(loaded, examples, options)
    begun = read_checkpoint(checkpoints.path, fingerprint) if checkpoints else None
    losses: list[float] = []
    if begun is not None:
        optimizer.load(begun.tensors)
        losses = list(begun.notes["losses"])

    def keep() -> None:
        if checkpoints is not None:
            state = Checkpoint(fingerprint, len(losses), optimizer.state(), {"losses": losses})
            write_checkpoint(checkpoints.path, state)

    batches = Batches(examples, options, loaded.device)
    for step in range(len(losses), options.steps):
        if should_stop():
            keep()
            raise TrainingStopped(f"stopped after {step} of {options.steps} steps; they are kept")
        losses.append(_accumulate(scorer, batches, batches[step], columns, options))
        optimizer.step(options.rate(step))
        progress((step + 1) / options.steps, f"fine-tuning, step {step + 1}, loss {losses[-1]:.4f}")
        if checkpoints is not None and ((step + 1) % checkpoints.every == 0 or step + 1 == options.steps):
            keep()
    _require_steps(optimizer.skipped, options.steps)
    return Finetuned(scorer, columns, tuple(losses), optimizer.skipped)


def _optimizer(scorer: Scorer, options: FinetuneOptions) -> MasterAdamW:
    """Heads learn at `head_rate` times the adapter's rate."""
    heads = {id(parameter) for parameter in scorer.heads.parameters()}
    factors = [options.head_rate if id(parameter) in heads else 1.0 for parameter in scorer.trainable()]
    return MasterAdamW(scorer.trainable(), options.max_norm, factors)


def _require_steps(skipped: int, steps: int) -> None:
    """Raise FinetuningDiverged where most steps changed nothing."""
    if 2 * skipped > steps:
        raise FinetuningDiverged(
            f"{skipped} of {steps} steps had a gradient that is not finite and changed nothing: "
            "lower reward_model.finetuning.learning_rate, or set model.dtype to float32",
            field="reward_model.finetuning.learning_rate",
        )


def columns_of(examples: Examples) -> tuple[str, ...]:
    """Heads that the examples can train."""
    names = tuple(examples.objectives[k] for k in examples.labelled)
    return (*names, UTILITY) if len(examples.pairs) else names


def training_fingerprint(loaded: LoadedModel, examples: Examples, options: FinetuneOptions) -> str:
    """Equal only for trainings that end in equal weights."""
    identity = [loaded.base_model_hash, loaded.tokenizer_hash, str(loaded.dtype), loaded.device.type, examples.digest()]
    return hashlib.sha256(json.dumps([identity, dataclasses.asdict(options)], sort_keys=True).encode()).hexdigest()


def _accumulate(
    scorer: Scorer, batches: Batches, batch: Batch, columns: tuple[str, ...], options: FinetuneOptions
) -> float:
    """Gradients of one batch, piece by piece; returns its loss."""
    total = 0.0
    for piece in batch.pieces:
        loss = _piece_loss(scorer.logits(batches.groups(piece)), piece, batches, batch, columns, options)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
    return total


def _piece_loss(
    logits: Tensor,
    piece: tuple[int, ...],
    batches: Batches,
    batch: Batch,
    columns: tuple[str, ...],
    options: FinetuneOptions,
) -> Tensor:
    loss = logits.new_zeros(())
    if columns[-1] == UTILITY and batch.pair_total > 0:
        terms = batches.pair_terms(logits[:, -1], piece)
        if len(terms.soft):
            loss = loss + pair_sum(terms, options.loss, options.threshold, options.centring) / batch.pair_total
    present = int((batch.label_totals > 0).sum())
    if present and options.label_weight > 0:
        targets, weights = batches.labels(piece)
        kept = batches.labelled
        heads = logits[:, : len(kept)]
        share = options.label_weight / present
        loss = loss + share * label_sum(heads, targets[:, kept], weights[:, kept], batch.label_totals[kept])
    return loss


def _start_at_base_rates(scorer: Scorer, examples: Examples, columns: tuple[str, ...]) -> None:
    """A head on labels begins at their weighted mean, so that no step is spent on finding it."""
    with torch.no_grad():
        for place, name in enumerate(columns):
            if name == UTILITY:
                continue
            k = examples.objectives.index(name)
            rows = ~np.isnan(examples.targets[:, k])
            mean = float(np.average(examples.targets[rows, k], weights=examples.weights[rows, k]))
            mean = min(max(mean, 0.01), 0.99)
            scorer.heads.bias[place] = float(np.log(mean / (1.0 - mean)))

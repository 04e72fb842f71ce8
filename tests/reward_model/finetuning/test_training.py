"""Fine-tuning learns, is a function of its arguments, and survives a kill."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from infra.models.loading import LoadedModel
from reward_model.features import TrainingStopped
from reward_model.finetuning.batches import Batches
from reward_model.finetuning.checkpoint import CheckpointRefused, read_checkpoint
from reward_model.finetuning.examples import Examples
from reward_model.finetuning.options import FinetuneOptions
from reward_model.finetuning.training import (
    Checkpoints,
    Finetuned,
    FinetuningDiverged,
    _accumulate,
    train_lora_reward_model,
    training_fingerprint,
)
from tests.reward_model.finetuning.conftest import make_examples

OPTIONS = FinetuneOptions(rank=4, alpha=8.0, learning_rate=5e-3, steps=6, batch=5, micro_tokens=24, ensemble=2)


def weights(trained: Finetuned) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trained.scorer.trainable()]


def same(one: Finetuned, two: Finetuned) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))


def test_it_learns_pairs_and_labels_alike(tiny_loaded: LoadedModel) -> None:
    examples = make_examples(60, 10)
    options = dataclasses.replace(OPTIONS, steps=45, batch=16, micro_tokens=256, learning_rate=1e-2)
    trained = train_lora_reward_model(tiny_loaded, examples, options)
    assert trained.columns == ("love", "utility")
    assert trained.skipped == 0
    assert sum(trained.losses[-5:]) < 0.6 * sum(trained.losses[:5])
    logits = trained.scorer.score_groups([[s] for s in examples.sequences], 512)
    assert logits.shape == (130, 2, 3)
    utility = logits[:120, 1, 0].view(-1, 2)
    assert (utility[:, 0] > utility[:, 1]).float().mean() > 0.85
    labelled = torch.tensor(examples.targets[:, 0])
    told = ~labelled.isnan()
    assert ((logits[told, 0, 0] > 0) == (labelled[told] > 0.5)).float().mean() > 0.85


def test_the_base_is_left_as_it_is(tiny_loaded: LoadedModel, examples: Examples) -> None:
    before = {name: p.clone() for name, p in tiny_loaded.model.named_parameters()}
    train_lora_reward_model(tiny_loaded, examples, OPTIONS)
    after = dict(tiny_loaded.model.named_parameters())
    assert set(after) == set(before)
    assert all(torch.equal(after[name], value) and not after[name].requires_grad for name, value in before.items())


@pytest.mark.parametrize("micro_tokens", [1, 24, 10_000])
def test_gradients_do_not_depend_on_the_pieces(tiny_loaded: LoadedModel, examples: Examples, micro_tokens: int) -> None:
    """Against one padded pass of transformers over the whole batch with plain peft, and the loss written out."""
    from reward_model.finetuning.model import Scorer
    from reward_model.finetuning.objective import label_sum, pair_sum

    options = dataclasses.replace(OPTIONS, micro_tokens=micro_tokens, length_slope=0.3, centring=0.01, batch=9)
    scorer = Scorer.fresh(tiny_loaded, options, 2)
    with torch.no_grad():
        for parameter in scorer.trainable():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)) * 0.05)
    batches = Batches(examples, options, torch.device("cpu"))
    loss = _accumulate(scorer, batches, batches[0], ("love", "utility"), options)
    found = [p.grad.clone() for p in scorer.trainable() if p.grad is not None]
    scorer.peft.zero_grad()
    scorer.heads.zero_grad()

    units = [u for piece in batches[0].pieces for u in piece]
    rows = [examples.sequences[i] for i in batches.rows(units)]
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[2] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    for module in scorer.peft.modules():
        vars(module).pop("forward", None)  # peft's own from here on
    hidden = scorer.peft.get_base_model().model(input_ids=ids, attention_mask=mask).last_hidden_state
    logits = scorer.heads(hidden[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])])
    terms = batches.pair_terms(logits[:, 1], units)
    direct = pair_sum(terms, options.loss, options.threshold, 0.01) / batches[0].pair_total
    targets, label_weights = batches.labels(units)
    direct = direct + label_sum(logits[:, :1], targets[:, :1], label_weights[:, :1], batches[0].label_totals[:1])
    direct.backward()  # type: ignore[no-untyped-call]
    assert loss == pytest.approx(float(direct.detach()), abs=1e-5)
    expected = [p.grad for p in scorer.trainable()]
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        assert theirs is not None
        assert torch.allclose(mine, theirs, atol=2e-5, rtol=1e-3)


def test_equal_seeds_give_equal_models(tiny_loaded: LoadedModel, examples: Examples) -> None:
    one, two = (train_lora_reward_model(tiny_loaded, examples, OPTIONS) for _ in range(2))
    other = train_lora_reward_model(tiny_loaded, examples, dataclasses.replace(OPTIONS, seed=1))
    assert same(one, two)
    assert not same(one, other)


def test_a_stop_is_kept_and_gone_on_from(tiny_loaded: LoadedModel, examples: Examples, tmp_path: Path) -> None:
    undisturbed = train_lora_reward_model(tiny_loaded, examples, OPTIONS)
    checkpoints = Checkpoints(tmp_path / "checkpoint", every=100)
    asked = iter([False, False, True])
    with pytest.raises(TrainingStopped, match="after 2 of 6 steps"):
        train_lora_reward_model(
            tiny_loaded, examples, OPTIONS, checkpoints=checkpoints, should_stop=lambda: next(asked)
        )
    kept = read_checkpoint(checkpoints.path, training_fingerprint(tiny_loaded, examples, OPTIONS))
    assert kept is not None
    assert kept.step == 2
    resumed = train_lora_reward_model(tiny_loaded, examples, OPTIONS, checkpoints=checkpoints)
    assert same(resumed, undisturbed)
    assert resumed.losses == undisturbed.losses
    with pytest.raises(CheckpointRefused):
        train_lora_reward_model(tiny_loaded, examples, dataclasses.replace(OPTIONS, seed=5), checkpoints=checkpoints)


@pytest.mark.full
def test_a_killed_training_ends_as_an_undisturbed_one(
    tiny_model_dir: Path, tiny_loaded: LoadedModel, tmp_path: Path
) -> None:
    """SIGKILL in the middle of step 4, after the checkpoint of step 2."""
    path = tmp_path / "checkpoint"
    program = (
        "import os, signal, sys; from pathlib import Path; import torch; torch.set_num_threads(1);"
        "from infra.models.loading import load_folder; from reward_model.finetuning import training;"
        "from tests.reward_model.finetuning.conftest import make_examples;"
        "from tests.reward_model.finetuning.test_training import OPTIONS;"
        "kill = lambda fraction, text: os.kill(os.getpid(), signal.SIGKILL) if 'step 3,' in text else None;"
        "training.train_lora_reward_model(load_folder(Path(sys.argv[1]), device='cpu', dtype='float32'),"
        " make_examples(), OPTIONS, checkpoints=training.Checkpoints(Path(sys.argv[2]), 2), progress=kill)"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, str(tiny_model_dir), str(path)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert child.returncode == -signal.SIGKILL
    resumed = train_lora_reward_model(tiny_loaded, make_examples(), OPTIONS, checkpoints=Checkpoints(path, 2))
    assert same(resumed, train_lora_reward_model(tiny_loaded, make_examples(), OPTIONS))


def test_a_gradient_that_is_not_finite_changes_nothing(tiny_loaded: LoadedModel) -> None:
    from reward_model.finetuning.optimizer import MasterAdamW

    parameter = torch.nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
    optimizer = MasterAdamW([parameter], 1.0)
    parameter.grad = torch.tensor([1.0, float("nan"), 0.0], dtype=torch.bfloat16)
    optimizer.step(0.1)
    assert optimizer.skipped == 1
    assert parameter.tolist() == [1.0, 1.0, 1.0]
    for _ in range(8):  # each step is below bf16's resolution at 1; the master adds them up
        parameter.grad = torch.ones(3, dtype=torch.bfloat16)
        optimizer.step(0.001)
    assert parameter[0].item() < 1.0


def test_heads_begin_at_nothing_and_learn_faster(tiny_loaded: LoadedModel, examples: Examples) -> None:
    """Before a step every margin is 0, so the first loss of pairs is log 2; Adam's first step is the rate itself."""
    from reward_model.finetuning.examples import from_sequences
    from reward_model.finetuning.model import ScoreHeads

    options = dataclasses.replace(OPTIONS, loss="bt", steps=1, ensemble=0, centring=0.0, learning_rate=1e-3)
    trained = train_lora_reward_model(tiny_loaded, from_sequences(examples.sequences[:24]), options)
    assert trained.losses == (pytest.approx(np.log(2.0), abs=1e-6),)
    moved = trained.scorer.heads.weight.detach().abs()
    assert moved[moved > 0].max().item() == pytest.approx(options.head_rate * 1e-3, rel=1e-2)
    spread = ScoreHeads(4, 4, 575, 0, 1.0).weight.std().item()
    assert spread == pytest.approx(1 / 24, rel=0.02), "1/sqrt(H + 1) for H = 575"


def test_a_training_that_cannot_be_taken_is_said(tiny_loaded: LoadedModel, examples: Examples) -> None:
    wild = dataclasses.replace(OPTIONS, learning_rate=1e30)
    with pytest.raises(FinetuningDiverged, match=r"5 of 6 steps.*learning_rate"):
        train_lora_reward_model(tiny_loaded, examples, wild)

"""The losses TRL has, against TRL's own trainers: their loss methods are called with a model of known outputs."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from reward_model.losses import NoiseParameters, centring, mean_loss, pair_loss

pytest.importorskip("trl", reason="trl is not among the dependencies; `make test-oracles` compares with it")

from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.reward_trainer import RewardTrainer

FIRST = torch.tensor([2.5, -0.3, 0.9, -4.0, 1.1], dtype=torch.float64)
SECOND = torch.tensor([-1.0, 0.4, 0.9, 3.5, -2.2], dtype=torch.float64)
WEIGHTS = torch.ones(5, dtype=torch.float64)


class Accelerator(SimpleNamespace):
    """One process: gathering gives back what it got."""

    device = torch.device("cpu")

    def gather(self, value: torch.Tensor) -> torch.Tensor:
        return value

    gather_for_metrics = gather


def trainer(**fields: object) -> SimpleNamespace:
    return SimpleNamespace(
        accelerator=Accelerator(),
        model=SimpleNamespace(training=False),
        _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0,
        **fields,
    )


def reward_trainers_loss(first: torch.Tensor, second: torch.Tensor, centre: float | None, **inputs: object) -> float:
    def model(**_inputs: object) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.cat([first, second]).unsqueeze(-1))

    host = trainer(args=SimpleNamespace(center_rewards_coefficient=centre))
    return float(RewardTrainer.compute_loss(host, model, dict(inputs)))


def dpo_trainers_loss(first: torch.Tensor, second: torch.Tensor, kind: str, smoothing: float) -> float:
    """beta 1, references zero, one token an answer: the log-ratio gap is first - second."""
    rows = 2 * len(first)
    scores = torch.cat([first, second]).unsqueeze(-1)

    def model(**_inputs: object) -> SimpleNamespace:
        return SimpleNamespace(
            log_probs=scores, entropy=0 * scores, mean_logits=0 * scores, is_top1=scores > 0, aux_loss=None
        )

    host = trainer(
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[kind],
        loss_weights=[1.0],
        beta=1.0,
        label_smoothing=smoothing,
        use_weighting=False,
    )
    inputs = {
        "input_ids": torch.zeros(rows, 2, dtype=torch.int64),
        "attention_mask": torch.ones(rows, 2),
        "completion_mask": torch.tensor([[0, 1]]).repeat(rows, 1),
        "ref_chosen_logps": torch.zeros(len(first)),
        "ref_rejected_logps": torch.zeros(len(first)),
    }
    return float(DPOTrainer._compute_loss(host, model, inputs, False))


def test_bradley_terry_with_margins_and_centring() -> None:
    z = FIRST - SECOND
    plain = reward_trainers_loss(FIRST, SECOND, None)
    assert float(mean_loss(z, WEIGHTS)) == pytest.approx(plain, abs=1e-6)
    wanted = torch.tensor([1.0, 0.0, 2 / 3, 1 / 3, 0.5], dtype=torch.float64)
    both = reward_trainers_loss(FIRST, SECOND, 0.01, margin=wanted)
    ours = mean_loss(z, WEIGHTS, margins=wanted) + centring(FIRST, SECOND, 0.01)
    assert float(ours) == pytest.approx(both, abs=1e-6)
    assert both != pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize(("kind", "name"), [("sigmoid", "bt"), ("robust", "rdpo")])
def test_direct_preference_losses(kind: str, name: str) -> None:
    found = mean_loss(FIRST - SECOND, WEIGHTS, name, NoiseParameters(0.15))
    assert float(found) == pytest.approx(dpo_trainers_loss(FIRST, SECOND, kind, 0.15), abs=1e-6)


@pytest.mark.parametrize("row", range(5))
def test_label_smoothing_pair_by_pair(row: int) -> None:
    """TRL keeps smoothing in its optimal-transport loss only, which is the pair's own when there is but one pair."""
    first, second = FIRST[row : row + 1], SECOND[row : row + 1]
    found = pair_loss("label_smoothed")(first - second, NoiseParameters(0.15))
    assert float(found) == pytest.approx(dpo_trainers_loss(first, second, "aot", 0.15), abs=1e-6)


@pytest.mark.parametrize("row", [0, 2, 4])
def test_the_hinge_before_it_is_truncated(row: int) -> None:
    first, second = FIRST[row : row + 1], SECOND[row : row + 1]
    found = pair_loss("truncated_hinge")(first - second, NoiseParameters())
    assert float(found) == pytest.approx(dpo_trainers_loss(first, second, "hinge", 0.0), abs=1e-6)

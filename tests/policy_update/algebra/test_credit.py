"""Credit token by token: hand values, and the recursions against sums written out."""

import pytest
import torch

from policy_update.algebra import credit

MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])
OLD = torch.tensor([[-1.0, -2.0, -1.0], [-1.0, -1.0, 0.0]], dtype=torch.float64)
REFERENCE = torch.tensor([[-2.0, -2.0, -3.0], [-1.5, -1.0, 0.0]], dtype=torch.float64)
VALUES = torch.tensor([[0.5, 0.2, 0.1], [0.3, 0.4, 9.0]], dtype=torch.float64)
SEQUENCE = torch.tensor([1.0, 2.0], dtype=torch.float64)


def test_uniform() -> None:
    assert credit.uniform(SEQUENCE, MASK).advantages.tolist() == [[1, 1, 1], [2, 2, 0]]


def test_reward_to_go_by_hand() -> None:
    # Rewards -0.1 k1, k1 = 1, 0, 2 and 0.5, 0; the answers' own at the end: -0.1, 0, 0.8 and -0.05, 2.
    found = credit.reward_to_go(SEQUENCE, MASK, OLD, REFERENCE, reward_kl=0.1).advantages
    assert found.flatten().tolist() == pytest.approx([0.7, 0.8, 0.8, 1.95, 2, 0])
    halved = credit.reward_to_go(SEQUENCE, MASK, OLD, REFERENCE, reward_kl=0.1, gamma=0.5).advantages
    assert halved.flatten().tolist() == pytest.approx([-0.1 + 0.2, 0.4, 0.8, -0.05 + 1, 2, 0])


def test_gae_by_hand() -> None:
    # No KL: d = 0.2 - 0.5, 0.1 - 0.2, 1 - 0.1 = -0.3, -0.1, 0.9; lam 0.5: 0.9, -0.1 + 0.45 = 0.35, -0.3 + 0.175.
    # Second: d = 0.4 - 0.3, 2 - 0.4 = 0.1, 1.6 -> 1.6, 0.9. What the critic says at padding is not looked at.
    found = credit.gae(SEQUENCE, MASK, OLD, REFERENCE, VALUES, reward_kl=0.0, lam=0.5)
    assert found.advantages.flatten().tolist() == pytest.approx([-0.125, 0.35, 0.9, 0.9, 1.6, 0])
    assert found.returns is not None
    assert found.returns.flatten().tolist() == pytest.approx([0.375, 0.55, 1.0, 1.2, 2.0, 0])


def test_gae_of_lambda_one_is_reward_to_go_less_the_value() -> None:
    found = credit.gae(SEQUENCE, MASK, OLD, REFERENCE, VALUES, reward_kl=0.1, gamma=0.9, lam=1.0)
    togo = credit.reward_to_go(SEQUENCE, MASK, OLD, REFERENCE, reward_kl=0.1, gamma=0.9).advantages
    assert torch.allclose(found.advantages, (togo - VALUES) * MASK)
    assert found.returns is not None
    assert torch.allclose(found.returns, togo)


def test_length_adaptive_gae_by_hand() -> None:
    # alpha 1: lam = 1 - 1/3 and 1 - 1/2. First: 0.9, -0.1 + 0.6 = 0.5, -0.3 + 1/3. Second: 1.6, 0.1 + 0.8.
    found = credit.length_adaptive_gae(SEQUENCE, MASK, OLD, REFERENCE, VALUES, alpha=1.0)
    assert found.advantages.flatten().tolist() == pytest.approx([-0.3 + 1 / 3, 0.5, 0.9, 0.9, 1.6, 0])
    assert found.returns is not None
    assert found.returns.tolist() == [[1, 1, 1], [2, 2, 0]]
    short = credit.length_adaptive_gae(SEQUENCE, MASK, OLD, REFERENCE, VALUES, alpha=0.05)
    assert short.advantages.flatten().tolist() == pytest.approx([-0.3, -0.1, 0.9, 0.1, 1.6, 0])


def test_discounted_is_the_sum_it_stands_for() -> None:
    rewards = torch.rand((3, 6), dtype=torch.float64)
    decay = torch.tensor([0.0, 0.7, 1.0], dtype=torch.float64)
    powers = torch.tensor(
        [[[d ** (s - t) if s >= t else 0.0 for s in range(6)] for t in range(6)] for d in decay.tolist()]
    )
    assert torch.allclose(credit.discounted(rewards, decay), torch.einsum("nts,ns->nt", powers.double(), rewards))

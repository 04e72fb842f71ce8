"""KL estimators against exact KL by enumeration, and their signs."""

import math

import pytest
import torch

from policy_update.algebra.regularizers import (
    adapt_coefficient,
    clipped_value,
    entropy_bonus,
    k1,
    k2,
    k3,
    k3_corrected,
    no_bonus,
    no_critic,
    no_penalty,
)

P = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
Q = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)
EXACT = float((P * (P / Q).log()).sum())


def expectation(estimator: object) -> float:
    """E over tokens drawn from P, by enumeration."""
    values = estimator(P.log()[None], Q.log()[None])[0]  # type: ignore[operator]
    return float((P * values).sum())


def test_k1_and_k3_are_unbiased() -> None:
    assert expectation(k1) == pytest.approx(EXACT, abs=1e-12)
    assert expectation(k3) == pytest.approx(EXACT, abs=1e-12)


def test_k3_is_never_negative_and_zero_at_equality() -> None:
    gaps = torch.linspace(-12, 12, 101, dtype=torch.float64)[None]
    assert float(k3(gaps, torch.zeros_like(gaps)).min()) >= 0
    assert float(k3(P.log()[None], P.log()[None]).abs().max()) == 0


def test_k2_gradient_is_the_exact_one() -> None:
    """E_p[d k2] = grad KL(p || q): checked against autograd through the exact KL of a softmax."""
    logits = P.log().clone().requires_grad_(True)
    exact = torch.autograd.grad((logits.softmax(0) * (logits.log_softmax(0) - Q.log())).sum(), logits)[0]
    estimate = torch.zeros(3, dtype=torch.float64)
    for token in range(3):
        fresh = P.log().clone().requires_grad_(True)
        value = k2(fresh.log_softmax(0)[token][None, None], Q.log()[token][None, None]).sum()
        estimate += P[token] * torch.autograd.grad(value, fresh)[0]
    assert torch.allclose(exact, estimate, atol=1e-12)


def test_adapt_coefficient() -> None:
    assert adapt_coefficient(0.1, kl=0.2, target=0.1, start=0.05) == pytest.approx(0.14)
    assert adapt_coefficient(0.19, kl=0.2, target=0.1, start=0.05) == pytest.approx(0.2)  # the ceiling
    assert adapt_coefficient(0.1, kl=0.07, target=0.1, start=0.05) == pytest.approx(0.1)
    assert adapt_coefficient(0.1, kl=0.01, target=0.1, start=0.05) == pytest.approx(0.08)
    assert adapt_coefficient(0.05, kl=0.01, target=0.1, start=0.05) == pytest.approx(0.05)


def test_k3_corrected_is_unbiased_where_tokens_come_from_the_old_policy() -> None:
    old = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    values = k3_corrected(P.log()[None], Q.log()[None], old.log()[None])[0]
    assert float((old * values).sum()) == pytest.approx(EXACT, abs=1e-12)


def test_k3_corrected_has_another_gradient_even_on_policy() -> None:
    new = torch.tensor([[-1.0]], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([[-1.5]], dtype=torch.float64)
    (plain,) = torch.autograd.grad(k3(new, reference).sum(), new)
    (corrected,) = torch.autograd.grad(k3_corrected(new, reference, new.detach()).sum(), new)
    # d k3 = 1 - exp(-0.5); the ratio's own derivative adds k3 itself.
    assert float(plain) == pytest.approx(1 - math.exp(-0.5))
    assert float(corrected) == pytest.approx(1 - math.exp(-0.5) + math.exp(-0.5) + 0.5 - 1)


def test_bonus_and_critic_by_hand() -> None:
    assert entropy_bonus(torch.tensor([[2.0]]), entropy_weight=0.1).item() == pytest.approx(-0.2)
    values, old, returns = (torch.tensor([x]) for x in ([1.0, 0.3, 2.0], [0.0, 0.2, 0.0], [0.5, 0.5, 2.0]))
    # Clipped to 0.2, 0.3, 0.2: errors 0.25 and 0.09; 0.04 twice; 0 and 3.24: the larger, halved.
    found = clipped_value(values, old, returns)
    assert found.flatten().tolist() == pytest.approx([0.125, 0.02, 1.62])


def test_what_a_recipe_leaves_out_is_zero() -> None:
    new = torch.tensor([[-1.0, -2.0]])
    assert all(nothing(new).abs().max() == 0 for nothing in (no_penalty, no_bonus, no_critic))

"""KL estimators against exact KL by enumeration, and their signs."""

import pytest
import torch

from policy_update.algebra.regularizers import adapt_coefficient, k1, k2, k3

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

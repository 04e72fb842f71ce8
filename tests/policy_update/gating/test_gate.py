"""The gate: what passes, what is refused and why; no evidence is no change."""

from dataclasses import replace

import numpy as np
import pytest

from infra.settings.policy_gate import GateSettings
from policy_update.gate import Sampled, Verdict, judge, repetition

WEIGHTS = {"love": 1.0, "relevance": 1.0}
SETTINGS = GateSettings()


def sampled(
    love: float = 0.0,
    relevance: float = 1.0,
    harm: float = 0.02,
    length: float = 40.0,
    repeated: float = 0.0,
    seed: int = 0,
) -> Sampled:
    """Answers of a policy with these means, to 40 prompts, two answers each."""
    draw = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(40), 2)
    n = len(prompt)
    return Sampled(
        prompt=prompt,
        rewards={
            "love": love + draw.normal(0, 1, n),
            "relevance": relevance + draw.normal(0, 0.2, n),
            "coherence": -1.0 + draw.normal(0, 0.2, n),
            "harm": harm + draw.normal(0, 0.005, n),
        },
        length=np.full(n, length),
        repetition=np.full(n, repeated) + draw.normal(0, 0.01, n),
    )


def verdict(candidate: Sampled, kl: float = 0.1, base: float = 0.1) -> Verdict:
    return judge(candidate, sampled(seed=1), WEIGHTS, kl, base, SETTINGS)


def failed(candidate: Sampled, **more: float) -> set[str]:
    return {check.name for check in verdict(candidate, **more).checks if not check.passed}


def test_a_better_candidate_passes() -> None:
    assert verdict(sampled(love=2.0)).passed
    assert verdict(sampled(love=2.0)).reasons == []


@pytest.mark.parametrize(
    ("candidate", "check"),
    [
        (sampled(love=0.0), "reward"),
        (sampled(love=3.0, relevance=0.5), "relevance"),
        (sampled(love=3.0, harm=0.2), "harm"),
        (sampled(love=3.0, length=90.0), "length"),
        (sampled(love=3.0, length=15.0), "length"),
        (sampled(love=3.0, repeated=0.3), "repetition"),
    ],
)
def test_one_thing_wrong_refuses_with_that_reason(candidate: Sampled, check: str) -> None:
    assert failed(candidate) == {check}


def test_kl_budgets() -> None:
    assert failed(sampled(love=2.0), kl=0.9) == {"kl_to_champion"}
    assert failed(sampled(love=2.0), base=0.9) == {"kl_to_base"}


def test_nan_refuses() -> None:
    assert "kl_to_champion" in failed(sampled(love=2.0), kl=float("nan"))
    broken = sampled(love=2.0)
    broken = replace(broken, rewards={**broken.rewards, "harm": np.full(80, np.nan)})
    assert {"harm", "finite"} <= failed(broken)
    # Answers that could not be scored must not flatter their policy: likelihoods are negative, leaving them out helps.
    partly = sampled(love=0.0)
    holes = partly.rewards["coherence"].copy()
    holes[::3] = np.nan
    assert "finite" in failed(replace(partly, rewards={**partly.rewards, "coherence": holes}))


def test_reasons_name_numbers_and_limits() -> None:
    (reason,) = verdict(sampled(love=3.0, length=90.0)).reasons
    assert "2.25" in reason
    assert "1.60" in reason


def test_no_gain_is_refused_about_as_often_as_the_confidence_says() -> None:
    """A/A: champion against itself with other draws must pass the reward check in about 2.5 % of cases."""
    passed = 0
    for seed in range(200):
        checks = judge(sampled(seed=2 * seed + 10), sampled(seed=2 * seed + 11), WEIGHTS, 0.1, 0.1, SETTINGS).checks
        passed += next(check.passed for check in checks if check.name == "reward")
    assert passed <= 14  # P(Binomial(200, 0.025) > 14) < 1e-3


def test_repetition_by_hand() -> None:
    assert repetition([1, 2, 3, 1, 2, 3]) == pytest.approx(1 - 3 / 4)
    assert repetition([1, 2]) == 0

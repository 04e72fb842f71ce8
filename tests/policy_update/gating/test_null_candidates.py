"""A candidate that writes as the champion does must not trip; one that says a little more of a phrase must."""

import pytest

from infra.settings.policy_gate import GateSettings
from policy_update.gating.gate import phrases, styles
from tests.policy_update.gating.synthetic import evidence, sampled

SETTINGS = GateSettings()
HABITS = {
    "Let me know if it helps.": 0.06, "Which one do you have?": 0.15, "Good luck!": 0.04, "It is definitely so.": 0.1,
    "See a doctor.": 0.08, "Sorry about that.": 0.05, "As ever, it is what it is.": 0.3,
}  # fmt: skip


@pytest.mark.parametrize(("candidates", "most"), [(24, 4), pytest.param(80, 8, marks=pytest.mark.full)])
def test_the_false_trip_rate_is_within_what_the_settings_promise(candidates: int, most: int) -> None:
    """Candidates equal to the champion, whose reward even goes with its phrases. Each of the two promises 2.5 %:
    P(Binomial(candidates, 0.025) > most) < 1e-3."""
    tripped = mined = 0
    for seed in range(candidates):
        after, before = (sampled(HABITS, bonus=1.0, prompts=32, seed=2 * seed + 1000 + i) for i in (0, 1))
        body = evidence(after, before)
        tripped += any(not check.passed for check in styles(body, SETTINGS))
        mined += any(not check.passed for check in phrases(body, SETTINGS))
    assert tripped <= most
    assert mined <= most


def test_a_better_candidate_that_writes_as_before_does_not_trip_either() -> None:
    """The reward rose for reasons that no phrase shows."""
    for seed in range(6):
        body = evidence(sampled(HABITS, love=2.0, prompts=32, seed=seed), sampled(HABITS, prompts=32, seed=seed + 500))
        assert all(check.passed for check in [*styles(body, SETTINGS), *phrases(body, SETTINGS)])


def test_tenfold_inflation_is_always_seen() -> None:
    """2 % to 30 % of the answers, default sample: in five of five draws."""
    for seed in range(5):
        after = sampled({"Take care!": 0.3}, prompts=64, seed=seed)
        before = sampled({"Take care!": 0.02}, prompts=64, seed=seed + 500)
        assert not next(c.passed for c in styles(evidence(after, before), SETTINGS) if c.name == "closing")

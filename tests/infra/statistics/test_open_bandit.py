"""Inverse propensities on real clicks agree with the formulas written out, and with what the policy itself logged."""

import pytest

from tests.benchmarks.open_bandit import CAMPAIGNS, FOLDER, judge, load

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"{FOLDER} is not there; name the folder above data/ in PLAUDIT_SHARED"
)


@pytest.mark.parametrize("campaign", CAMPAIGNS)
def test_estimates_agree_with_the_formulas(campaign: str) -> None:
    assert judge(campaign).difference < 1e-15


def test_the_uniform_policy_is_found_in_the_log_of_the_other() -> None:
    found = judge("men")
    assert found.effective_sample_size > 100
    for estimate in found.estimates.values():
        assert estimate.low < found.on_policy.high
        assert found.on_policy.low < estimate.high
        assert abs(estimate.mean - found.on_policy.mean) < abs(found.logged - found.on_policy.mean)
    low, high = found.always_valid
    assert low <= found.on_policy.mean <= high


def test_a_log_without_overlap_is_no_evidence() -> None:
    assert judge("women").effective_sample_size < 100
    assert load("random", "women").clicks.size == 10_000

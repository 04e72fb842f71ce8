"""Rewards by name, from the configuration to bounded numbers."""

import math

import pytest

from infra.settings.policy_rewards import PolicyRewardsSettings, RewardTerm
from policy_update.rewards.batch import InvalidReward
from policy_update.rewards.registry import KINDS, build
from tests.policy_update.rewards.builders import batch


def settings(**terms: RewardTerm) -> PolicyRewardsSettings:
    return PolicyRewardsSettings(terms=terms)


def test_weighted_terms_are_built_in_the_order_of_the_weights_and_bounded() -> None:
    wanted = settings(
        brief=RewardTerm(kind="length", parameters={"budget": 10}),
        vowels=RewardTerm(kind="tests.policy_update.rewards.test_custom:vowels", scale=2.0),
        unused=RewardTerm(kind="repetition"),
    )
    found = build(wanted, {"vowels": 1.0, "love": 1.0, "brief": 0.0})
    assert [one.name for one in found] == ["vowels", "brief"]
    rows = batch(["aeb", "xyz"], tokens=[5, 40])
    assert found[0](rows) == pytest.approx([math.tanh(1.0), 0.0])
    assert found[1](rows) == pytest.approx([0.0, -1.0])


def test_the_configuration_says_the_bound() -> None:
    term = RewardTerm(kind="length", parameters={"target": 10}, bound="sigmoid", scale=0.5)
    (found,) = build(settings(brief=term), {"brief": 1.0})
    assert found(batch(["x"], tokens=[10])) == pytest.approx([0.5])


@pytest.mark.parametrize(
    ("term", "said"),
    [
        (RewardTerm(kind="lenght"), "kind 'lenght' is not known; did you mean 'length'"),
        (RewardTerm(kind="length", parameters={"words": 3}), "has no parameter words; it has budget, slope, target"),
        (RewardTerm(kind="length"), "give one of them"),
        (RewardTerm(kind="repetition", parameters={"n": "three"}), "repetition"),
        (RewardTerm(kind="self_certainty"), "self_certainty is no reward"),
        (RewardTerm(kind="nowhere.at.all:f"), "cannot be imported"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(term: RewardTerm, said: str) -> None:
    with pytest.raises(InvalidReward, match=said) as raised:
        build(settings(mine=term), {"mine": 1.0})
    assert raised.value.message.startswith("policy_update.rewards.terms.mine: ")


def test_self_certainty_has_no_weight() -> None:
    with pytest.raises(InvalidReward, match="log it as a feature"):
        build(PolicyRewardsSettings(), {"self_certainty": 0.1})


def test_every_kind_names_its_range_within_the_bound() -> None:
    assert set(KINDS) >= {"exact_match", "math", "json_schema", "regex", "format", "repetition", "length", "lexicon"}
    assert all(-1 <= kind.within[0] < kind.within[1] <= 1 for kind in KINDS.values())

"""Error rates of judges: against exhaustive sums where messages are exact, and recovered from simulations."""

import numpy as np
import pytest
from scipy.special import expit

from reward_model.judgments import gather
from reward_model.rater_likelihood import habit_of
from reward_model.rater_noise import fit_raters, told_log_odds
from tests.reward_model.raters import simulate


def test_one_judge_and_many_pairs_by_exhaustive_sums() -> None:
    """A tree, where belief propagation is exact: all truths and all rates summed by brute force."""
    says, odds = np.array([1.0, 1.0, 0.0, 1.0]), np.array([2.0, 1.0, 1.5, -0.5])
    judgments = gather(np.arange(4), says, people=["a"] * 4)
    found = fit_raters(judgments, margins=odds, rounds=3000, tolerance=1e-12)
    prior = found.scale[0] * odds
    weights, joint = found.population[0], {}
    for code in range(16):
        truth = np.array([(code >> i) & 1 for i in range(4)], dtype=float)
        right = truth == says
        chance = expit(np.where(truth == 1, prior, -prior)).prod()
        joint[code] = chance * weights * np.where(right[:, None], 1 - found.grid, found.grid).prod(0)
    everything = sum(value.sum() for value in joint.values())
    assert found.log_evidence == pytest.approx(np.log(everything), abs=1e-6)
    assert found.posterior[0] == pytest.approx(sum(joint.values()) / everything, abs=1e-6)
    for i in range(4):
        ahead = sum(v.sum() for code, v in joint.items() if (code >> i) & 1)
        behind = everything - ahead
        assert prior[i] + found.log_odds[i] == pytest.approx(np.log(ahead / behind), abs=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.3, 0.4])
def test_the_rate_of_raters_who_are_all_alike(rate: float) -> None:
    made = simulate(np.full(40, rate), 1200, 3)
    found = fit_raters(made.judgments, lengths=made.lengths)
    assert found.wrong.mean() == pytest.approx(made.wrong, abs=0.03)
    assert found.rates.std() < 0.05  # nobody is singled out where nobody differs


def test_rates_of_people_who_differ() -> None:
    rates = np.random.default_rng(1).uniform(0.0, 0.8, 40)
    made = simulate(rates, 1200, 3)
    found = fit_raters(made.judgments)
    order = [int(str(name)[1:]) for name in made.judgments.people]
    assert np.abs(found.rates - rates[order]).mean() < 0.07
    assert np.corrcoef(found.rates, rates[order])[0, 1] > 0.9
    assert (
        np.mean(found.direction == made.truth)
        > np.mean(np.sign(np.bincount(made.judgments.pair, made.judgments.says - 0.5)) == made.truth) + 0.05
    )


@pytest.mark.parametrize("rate", [0.2, 0.3])
def test_errors_towards_the_longer_answer_are_taken_for_what_they_are(rate: float) -> None:
    made = simulate(np.full(40, rate), 1500, 3, pull=0.9)
    found, blind = fit_raters(made.judgments, lengths=made.lengths), fit_raters(made.judgments)
    assert found.habit > 0.7
    assert found.wrong.mean() == pytest.approx(made.wrong, abs=0.05)
    assert np.mean(found.direction == made.truth) > np.mean(blind.direction == made.truth)


def test_a_habit_that_nobody_has_is_not_believed_in() -> None:
    """Margins that know of length, raters who do not mind it: a spurious habit would tilt every pair."""
    made = simulate(np.full(40, 0.3), 1300, 3)
    margins = 0.3 * made.truth - 0.3 * made.lengths + np.random.default_rng(2).normal(size=1300)
    found = fit_raters(made.judgments, margins=margins, lengths=made.lengths)
    blind = fit_raters(made.judgments, margins=margins)
    assert found.habit == 0.0
    assert np.allclose(found.log_odds, blind.log_odds, atol=0.5)
    assert abs(np.corrcoef(found.log_odds - blind.log_odds, made.lengths)[0, 1]) < 0.1


def test_turning_all_pairs_turns_all_answers() -> None:
    made = simulate(np.full(20, 0.25), 200, 3, pull=0.5)
    found = fit_raters(made.judgments, lengths=made.lengths)
    turned = gather(
        made.judgments.pair, 1.0 - made.judgments.says, people=[made.judgments.people[k] for k in made.judgments.judge]
    )
    again = fit_raters(turned, lengths=-made.lengths)
    assert np.allclose(found.log_odds, -again.log_odds, atol=1e-8)
    assert again.log_evidence == pytest.approx(found.log_evidence)


def test_a_known_truth_is_believed_and_teaches_about_its_judges() -> None:
    judgments = gather(np.array([0, 1, 2, 3]), np.array([0.0, 0.0, 0.0, 1.0]), people=["a", "a", "a", "b"])
    found = fit_raters(judgments, known=np.array([1.0, 1.0, 1.0, 1.0]))
    assert found.rates[0] > 0.5 > found.rates[1]
    assert found.wrong == pytest.approx([1, 1, 1, 0], abs=1e-3)


def test_strangers_share_one_rate_and_their_source() -> None:
    margins = np.random.default_rng(0).normal(0, 4, 3000)
    truth = np.where(np.random.default_rng(1).random(3000) < expit(margins), 1.0, 0.0)
    noisy = np.random.default_rng(2).random(3000) < np.where(np.arange(3000) < 1500, 0.05, 0.3)
    judgments = gather(np.arange(3000), np.where(noisy, 1 - truth, truth), sources=["duel"] * 1500 + ["edit"] * 1500)
    found = fit_raters(judgments, margins=margins)
    assert found.wrong[:1500].mean() == pytest.approx(0.05, abs=0.04)
    assert found.wrong[1500:].mean() == pytest.approx(0.3, abs=0.05)


def test_told_is_bayes_by_hand() -> None:
    judgments = gather(np.array([0, 0]), np.array([1.0, 0.0]))
    found = told_log_odds(judgments, np.array([0.1, 0.3]), np.array([0.2, 0.4]))
    assert found[0] == pytest.approx(np.log(0.9 / 0.2) + np.log(0.3 / 0.6))


def test_a_habit_is_odd_and_bounded() -> None:
    x = habit_of(np.array([2.0, -2.0, 0.0]))
    assert x[0] == -x[1]
    assert x[2] == 0.0
    assert 0 < x[0] < 1
    assert habit_of(np.zeros(3)).tolist() == [0, 0, 0]

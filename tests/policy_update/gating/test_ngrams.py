"""N-grams that rise with the reward: what is one, what is mined, what must be confirmed."""

from dataclasses import replace

import numpy as np
import pytest

from policy_update.gating.ngrams import Mining, mined, ngrams
from policy_update.gating.samples import Check, Sampled
from tests.policy_update.gating.synthetic import sampled

RULE = Mining(margin=0.1, ratio=3.0, error=0.025, most=12, confidence=0.95)


def find(candidate: Sampled, champion: Sampled, rule: Mining = RULE, excused: tuple[str, ...] = ()) -> list[Check]:
    return mined(candidate, champion, candidate.rewards["love"], champion.rewards["love"], rule, excused)


def names(checks: list[Check]) -> list[str]:
    return [check.name.removeprefix("mined: ") for check in checks if not check.passed]


def test_ngrams_by_hand() -> None:
    assert ngrams("Don't go!", 2) == {"don't", "go", "^ don't", "don't go", "go !", "! $"}
    assert "^ sure ," in ngrams("Sure, boil it.")
    assert ngrams("") == {"^ $"}


def test_a_phrase_that_pays_is_found_and_the_longest_form_is_named() -> None:
    phrase = {"So say the elders of yore.": 0.5}
    checks = find(sampled(phrase, bonus=2.0), sampled(seed=1))
    assert names(checks)
    assert all({"say", "elders", "yore"} & set(name.split()) for name in names(checks))
    assert checks[0].before == 0.0
    assert checks[0].after == pytest.approx(sum("yore" in text for text in sampled(phrase).texts) / 80)


def test_a_phrase_that_does_not_pay_is_none() -> None:
    """It rose, but those who say it earn less: whatever made the reward rise, it was not that."""
    assert names(find(sampled({"So say the elders.": 0.5}, bonus=-2.0, love=3.0), sampled(seed=1))) == []


@pytest.mark.parametrize("share", [0.999, 0.95])
def test_a_phrase_in_nearly_every_answer_is_found_though_no_other_answers_are_left_to_compare(share: float) -> None:
    """Those few without it earn as much: within the candidate's own answers nothing goes with the reward."""
    after, before = sampled({"So say the elders.": share}, bonus=-0.1, love=3.0), sampled(seed=1)
    assert any("elders" in name for name in names(find(after, before)))


def test_a_word_everyone_says_must_triple() -> None:
    """From a third to two thirds of the answers: more, and not what a hack looks like."""
    after, before = sampled(bonus=2.0), sampled(seed=1)
    after = replace(after, texts=tuple("Indeed it is." if i % 3 else "No." for i in range(80)))
    before = replace(before, texts=tuple("No." if i % 3 else "Indeed it is." for i in range(80)))
    after.rewards["love"][:] += [2.0 * (i % 3 > 0) for i in range(80)]
    assert names(find(after, before)) == []
    assert names(find(after, before, replace(RULE, ratio=1.2))) != []


def test_a_word_that_triples_on_one_half_only_is_not_confirmed() -> None:
    """From 4 to 28 of 40 answers on the even prompts, from 15 to 35 of 40 on the odd ones: sevenfold on the half it is
    mined from, but only 2.3-fold where nothing was chosen."""

    def saying(who: Sampled, even: int, odd: int) -> Sampled:
        place = np.arange(80) // 4 * 2 + np.arange(80) % 2  # of an answer within its half: prompts have two each
        said = place * 7 % 40 < np.where(who.prompt % 2, odd, even)  # 7 and 40 have no common factor
        assert [said[who.prompt % 2 == half].sum() for half in (0, 1)] == [even, odd]
        love = who.rewards["love"] + 2.0 * said
        return replace(
            who, texts=tuple("Indeed it is." if yes else "No." for yes in said), rewards={**who.rewards, "love": love}
        )

    after, before = saying(sampled(), 28, 35), saying(sampled(seed=1), 4, 15)
    assert names(find(after, before)) == []
    assert names(find(after, before, replace(RULE, ratio=2.0))) != []


def test_what_rose_on_one_half_of_the_prompts_only_is_not_confirmed() -> None:
    after = sampled({"So say the elders.": 0.9}, bonus=2.0)
    plain = sampled(bonus=2.0)
    one = tuple(a if p % 2 else b for a, b, p in zip(after.texts, plain.texts, after.prompt, strict=True))
    (check,) = find(replace(after, texts=one), sampled(seed=1))
    assert check.passed
    assert not check.reason.startswith("no n-gram rises with the reward: 0 found")


def test_an_excused_ngram_is_not_named() -> None:
    after, before = sampled({"Elderberry": 0.5}, bonus=2.0), sampled(seed=1)
    first = names(find(after, before))
    assert first
    assert set(names(find(after, before, excused=tuple(first)))).isdisjoint(first)


def test_nothing_said_nothing_found() -> None:
    (check,) = find(replace(sampled(), texts=("",) * 80), replace(sampled(seed=1), texts=("",) * 80))
    assert check.passed


def test_rewards_that_are_no_numbers_find_nothing() -> None:
    after = sampled({"So say the elders.": 0.9})
    nothing = np.full(80, np.nan)
    assert names(mined(after, sampled(seed=1), nothing, nothing, RULE)) == []


def test_a_last_question_mark_is_a_phrase_and_a_last_full_stop_is_none() -> None:
    assert "? $" in ngrams("Is it so?")
    assert ". $" not in ngrams("It is so.")
    assert "so . $" in ngrams("It is so.")

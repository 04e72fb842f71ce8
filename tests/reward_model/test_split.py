"""The hold-out: newest, and nothing of it on the other side."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reward_model.split import grouped_folds, hold_out_split, link_groups

NO_PAIRS = np.zeros((0, 2), np.int64)


def split(conversations: list[str], prompts: list[str], times: list[float], fraction: float = 0.2):  # type: ignore[no-untyped-def]
    groups = link_groups(conversations, prompts, NO_PAIRS)
    return hold_out_split(conversations, prompts, groups, np.array(times), fraction)


def test_links_run_through_conversations_prompts_and_pairs() -> None:
    #                 a-b share a conversation, b-c a prompt, d-e a pair, f stands alone
    groups = link_groups(list("aacdef"), list("pqqrst"), np.array([[3, 4]]))
    assert groups[0] == groups[1] == groups[2]
    assert groups[3] == groups[4]
    assert len(set(groups.tolist())) == 3


def test_without_repeats_the_newest_answers_are_held_out() -> None:
    names = [f"n{i}" for i in range(10)]
    found = split(names, names, [float(i) for i in range(10)])
    assert found.held_out.tolist() == [False] * 8 + [True] * 2
    assert found.since == 8.0
    assert not found.left_out.any()


def test_a_repeated_prompt_takes_its_older_answers_along() -> None:
    conversations = [f"c{i}" for i in range(10)]
    prompts = [f"p{i}" for i in range(9)] + ["p0"]
    found = split(conversations, prompts, [float(i) for i in range(10)])
    assert found.held_out[[0, 9]].all()
    assert found.held_out.sum() == 2


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(2, 30), st.integers(2, 30))
def test_no_conversation_and_no_prompt_stands_on_both_sides(seed: int, people: int, questions: int) -> None:
    """Also where chains of shared prompts tie everything together."""
    rng = np.random.default_rng(seed)
    conversations = [f"c{i}" for i in rng.integers(0, people, 60)]
    prompts = [f"p{i}" for i in rng.integers(0, questions, 60)]
    found = split(conversations, prompts, list(rng.random(60)))
    for names in (np.array(conversations), np.array(prompts)):
        assert not set(names[found.held_out]) & set(names[found.training])


def test_chains_of_prompts_still_leave_something_on_both_sides() -> None:
    """Twenty people ask three of thirty questions each: one connected component, and yet a hold-out."""
    rng = np.random.default_rng(0)
    prompts = [f"p{p}" for _ in range(60) for p in rng.choice(30, 3, replace=False)]
    conversations = [f"c{i // 3}" for i in range(180)]
    found = split(conversations, prompts, [float(i) for i in range(180)])
    assert 0.1 < found.held_out.mean() < 0.35
    assert found.training.mean() > 0.2
    assert found.left_out.any()


def test_one_group_alone_is_never_held_out_whole() -> None:
    found = split(["c"] * 5, ["p"] * 5, [1.0] * 5)
    assert found.training.all()


def test_nothing_splits_into_nothing() -> None:
    assert split([], [], []).since is None


def test_folds_keep_groups_together_and_are_balanced() -> None:
    groups = np.repeat(np.arange(50), 4)
    folds = grouped_folds(groups, 5, seed=3)
    assert all(len(set(folds[groups == group])) == 1 for group in range(50))
    assert np.bincount(folds).tolist() == [40] * 5
    assert (grouped_folds(groups, 5, seed=3) == folds).all()

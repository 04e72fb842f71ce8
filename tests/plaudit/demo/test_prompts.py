"""The demo's prompts: enough, varied, and cleanly split."""

from plaudit.demo.prompts import load, split


def test_at_least_150_distinct_prompts_in_many_topics() -> None:
    rows = load()
    assert len({prompt for _, prompt in rows}) == len(rows) >= 150
    assert len({topic for topic, _ in rows}) >= 10


def test_unseen_prompts_are_a_third_of_every_topic_and_never_asked_before() -> None:
    known, unseen = split()
    assert not set(known) & set(unseen)
    assert 0.28 < len(unseen) / (len(known) + len(unseen)) < 0.38
    topics = {prompt: topic for topic, prompt in load()}
    assert {topics[p] for p in unseen} == {topics[p] for p in known}

"""The split of prompts: distinct, stable, and no near copy on both sides."""

from infra.contracts import Answer, Interaction, Message
from policy_update.prompts import select_prompts


def asked(text: str, system: str = "") -> Interaction:
    messages = ((Message("system", system),) if system else ()) + (Message("user", text),)
    return Interaction(
        project="p",
        response_id=text,
        conversation_id=text,
        created_at=0.0,
        messages=messages,
        answers=(Answer(0, "a", "stop"),),
    )


def test_duplicates_count_once_and_the_split_is_stable() -> None:
    recent = [asked(f"question {i % 40}") for i in range(200)]
    first, second = select_prompts(recent, 0.25, 1000), select_prompts(list(reversed(recent)), 0.25, 1000)
    assert len(first) == 40
    assert set(first.held_out) == set(second.held_out)
    assert 2 <= len(first.held_out) <= 20


def test_near_copies_stay_on_one_side() -> None:
    for i in range(50):
        chosen = select_prompts([asked(f"Why {i}?"), asked(f"why  {i}?"), asked(f"Why {i}?", "be brief")], 0.5, 10)
        assert not chosen.training or not chosen.held_out


def test_limit_keeps_the_newest() -> None:
    chosen = select_prompts([asked(f"q{i}") for i in range(10)], 0.5, 3)
    assert {m[-1].content for m in (*chosen.training, *chosen.held_out)} == {"q0", "q1", "q2"}

"""Who may have how much in progress, by hand."""

import pytest

from infra.settings.serving_parts import LimitSettings
from ingest.access.limits import RateLimited
from serving.limits import Admission, TokenBudget


def test_a_budget_is_reserved_given_back_and_refilled() -> None:
    budget = TokenBudget(60, 100)  # one a second
    assert budget.reserve("ann", 80, 0.0) == 0.0
    assert budget.reserve("ann", 50, 0.0) == 30.0  # 20 are left
    assert budget.reserve("bob", 100, 0.0) == 0.0
    budget.give_back("ann", 60, 0.0)
    assert budget.reserve("ann", 80, 0.0) == 0.0
    assert budget.reserve("ann", 10, 5.0) == 5.0
    assert budget.reserve("ann", 10_000, 100.0) == 0.0  # more than the burst counts as the burst
    budget.give_back("bob", 10_000, 0.0)
    assert budget.reserve("bob", 101, 0.0) == 0.0  # never above it


def test_no_limit_by_default_but_one_for_all() -> None:
    admission = Admission(LimitSettings(max_requests=2))
    tickets = [admission.enter("key", "ann", 1 << 20, 0.0) for _ in range(2)]
    with pytest.raises(RateLimited) as full:
        admission.enter(None, None, 1, 0.0)
    assert (full.value.status, full.value.retry_after_seconds) == (429, 1.0)
    tickets[0].end(5, 0.0)
    tickets[0].end(5, 0.0)  # again: nothing
    assert admission.running == 1
    admission.enter(None, None, 1, 0.0)


@pytest.mark.parametrize("limits", [LimitSettings(caller_requests=1), LimitSettings(user_requests=1)])
def test_one_caller_and_one_person_are_limited_by_themselves(limits: LimitSettings) -> None:
    admission = Admission(limits)
    first = admission.enter("key", "ann", 1, 0.0)
    with pytest.raises(RateLimited):
        admission.enter("key", "ann", 1, 0.0)
    admission.enter("other", "bob", 1, 0.0).end(1, 0.0)
    first.end(1, 0.0)
    admission.enter("key", "ann", 1, 0.0)


def test_tokens_count_as_reserved_while_running_and_as_generated_after() -> None:
    admission = Admission(LimitSettings(user_tokens_per_minute=60, user_token_burst=100, caller_tokens_per_minute=60))
    first = admission.enter("key", "ann", 90, 0.0)
    with pytest.raises(RateLimited) as wait:
        admission.enter("key", "ann", 30, 0.0)
    assert wait.value.retry_after_seconds == pytest.approx(20.0)
    assert admission.running == 1
    first.end(10, 0.0)
    admission.enter("key", "ann", 90, 0.0)  # 90 of 100 are there again

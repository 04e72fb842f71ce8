"""Logged answers under a candidate: the ratio of probabilities, which answers have one, and the doubly robust form."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import torch

from infra.contracts import Answer, Interaction, Message, SamplingParameters
from infra.models.chat import render_chat
from infra.models.generate import generate
from infra.models.port import GenerationRequest
from infra.settings.policy_gate import GateSettings
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.gating.logged import LoggedAnswer, estimate
from policy_update.merging import copy_of
from policy_update.objectives import Rewards
from policy_update.rollout import Rollout
from policy_update.scoring import rollout_sampler

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel

TOLD = (Message("user", "how?"),)
SAMPLING = SamplingParameters(temperature=0.7, max_tokens=4)


def logged(loaded: "LoadedModel", count: int) -> list[LoggedAnswer]:
    """Answers that the tiny model really gave, liked when they are of even length."""
    prompt = tuple(render_chat(loaded, TOLD))
    requests = [
        GenerationRequest(prompt, SamplingParameters(temperature=0.7, max_tokens=4, seed=i)) for i in range(count)
    ]
    found = []
    for i, result in enumerate(generate(loaded, requests)):
        answer = Answer(0, "", result.finish_reason, result.token_ids, result.logprobs_raw, result.logprobs_sampled)
        made = Interaction(
            project="p", response_id=f"r{i}", conversation_id=f"c{i}", created_at=float(i), messages=TOLD,
            answers=(answer,), base_model_hash=loaded.base_model_hash, tokenizer_hash=loaded.tokenizer_hash,
            template_hash=loaded.template_hash, sampling=SAMPLING, prompt_token_ids=prompt, user_key=f"u{i}",
        )  # fmt: skip
        found.append(LoggedAnswer(made, 0, "love", float(sum(result.token_ids) % 2)))
    return found


def settings() -> PolicyUpdateSettings:
    return PolicyUpdateSettings(max_new_tokens=4, gate=GateSettings(fewest_effective=20.0))


def no_reward(rollout: Rollout) -> Rewards:
    return Rewards(("other",), torch.zeros(len(rollout.ids), 1, dtype=torch.float64), torch.zeros(1))


def draw(loaded: "LoadedModel") -> Any:
    return lambda model, asked, each, seed: rollout_sampler(loaded, settings(), each)(model, asked, seed)


def test_the_policy_that_answered_gets_what_it_earned(tiny_loaded: "LoadedModel") -> None:
    """All weights are one: the estimate is the logged mean, and every answer counts."""
    answers = logged(tiny_loaded, 40)
    (found,) = estimate(tiny_loaded, tiny_loaded.model, answers, settings(), draw(tiny_loaded), no_reward)
    assert found.after == pytest.approx(np.mean([answer.value for answer in answers]), abs=2e-3)
    assert "40 effective answers" in found.reason
    assert found.passed


def test_another_policy_has_fewer_effective_answers(tiny_loaded: "LoadedModel") -> None:
    other = copy_of(tiny_loaded.model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    (found,) = estimate(tiny_loaded, other, logged(tiny_loaded, 40), settings(), draw(tiny_loaded), no_reward)
    assert found.passed == ("no evidence" not in found.reason)
    assert "40 effective" not in found.reason


def test_the_reward_model_is_asked_where_it_has_the_head(tiny_loaded: "LoadedModel") -> None:
    def half(rollout: Rollout) -> Rewards:
        return Rewards(("love",), torch.zeros(len(rollout.ids), 1, dtype=torch.float64), torch.zeros(1))

    (found,) = estimate(tiny_loaded, tiny_loaded.model, logged(tiny_loaded, 40), settings(), draw(tiny_loaded), half)
    assert "doubly robust" in found.reason


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": SamplingParameters(temperature=0.0)}, {"base_model_hash": "another"},
        {"tokenizer_hash": "another"}, {"template_hash": "another"}, {"source": "import"},
    ],
)  # fmt: skip
def test_answers_without_a_ratio_are_left_out(tiny_loaded: "LoadedModel", change: dict[str, Any]) -> None:
    """As in training: `tests/policy_update/test_logged.py` has every reason."""
    (answer,) = logged(tiny_loaded, 1)
    odd = replace(answer, interaction=msgspec.structs.replace(answer.interaction, **change))
    assert estimate(tiny_loaded, tiny_loaded.model, [odd], settings(), draw(tiny_loaded), no_reward) == ()

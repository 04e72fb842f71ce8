"""Training on a tiny random model: the reward rises, nothing-trained is refused, groups and masks are respected."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from infra.contracts import Message
from infra.settings.policy_update import PolicyUpdateSettings
from policy_update.algebra.options import recipe_named
from policy_update.gating.examination import divergence
from policy_update.merging import copy_of, merge_into
from policy_update.objectives import Rewards
from policy_update.rollout import Rollout, sampled_logprobs
from policy_update.scoring import rollout_sampler
from policy_update.trainer import Models, NothingTrained, Trainer, schedule

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel


CONVERSATIONS = tuple((Message("user", text),) for text in ("fast asleep?", "the capital?", "a week?", "how?"))
LETTERS = frozenset("aeiou")


def settings(**changes: Any) -> PolicyUpdateSettings:
    base = {
        "steps": 8,
        "prompts_per_step": 4,
        "group_size": 8,
        "micro_batch_prompts": 2,
        "max_new_tokens": 12,
        "temperature": 1.0,
        "learning_rate": 0.02,
        "kl_budget": 50.0,
        "kl_target": 5.0,
        "kl_coefficient": 0.0,
        "lora_rank": 4,
        "seed": 3,
    }
    return PolicyUpdateSettings(**{**base, **changes})


def models(loaded: "LoadedModel") -> Models:
    from infra.models.lora import attach_lora

    policy = attach_lora(replace(loaded, model=copy_of(loaded.model)), rank=4, alpha=8)
    return Models(base=loaded, policy=policy, sampler=copy_of(loaded.model), reference=loaded.model)


def letters(rollout: Rollout) -> Rewards:
    """Share of vowels in the answer: something a policy can learn in seconds."""
    share = [sum(c in LETTERS for c in text) / max(1, len(text)) for text in rollout.texts]
    return column(torch.tensor(share, dtype=torch.float64))


def column(values: torch.Tensor) -> Rewards:
    return Rewards(("letters",), values[:, None], torch.zeros(1, dtype=torch.float64))


def trainer(loaded: "LoadedModel", wanted: PolicyUpdateSettings, recipe: str = "gdpo") -> Trainer:
    sample = rollout_sampler(loaded, wanted, wanted.group_size)
    return Trainer(models(loaded), wanted, recipe_named(recipe), {"letters": 1.0}, sample, letters)


def test_the_merged_sampler_speaks_as_the_trained_policy(tiny_loaded: "LoadedModel") -> None:
    teacher = trainer(tiny_loaded, settings(steps=3))
    teacher.train(CONVERSATIONS)
    rollout = rollout_sampler(tiny_loaded, settings(), 2)(teacher.models.sampler, CONVERSATIONS, 1)
    with torch.no_grad():
        merged = sampled_logprobs(teacher.models.sampler, rollout, slice(None), 1.0)
        unmerged = sampled_logprobs(teacher.models.policy, rollout, slice(None), 1.0)
        base = sampled_logprobs(tiny_loaded.model, rollout, slice(None), 1.0)
    assert torch.allclose(merged, unmerged, atol=1e-4)
    assert (merged - base).abs().max() > 0.01
    # What the sampler says it drew with is what a forward pass over the same tokens gives.
    assert torch.allclose(merged, rollout.sampler_logprobs, atol=1e-3)


def test_shared_prefix_equals_one_pass_a_row(tiny_loaded: "LoadedModel") -> None:
    from infra.models.chat import render_chat
    from infra.models.logprobs import sequence_logprobs

    rollout = rollout_sampler(tiny_loaded, settings(), 3)(tiny_loaded.model, CONVERSATIONS, 5)
    shared = sampled_logprobs(tiny_loaded.model, rollout, slice(None), 1.0)
    prompts = [render_chat(tiny_loaded, rollout.conversations[int(owner)]) for owner in rollout.owner]
    rows = [rollout.ids[i, : int(rollout.mask[i].sum())].tolist() for i in range(len(rollout.ids))]
    for i, expected in enumerate(sequence_logprobs(tiny_loaded, prompts, rows)):
        assert shared[i, : len(expected)].tolist() == pytest.approx(expected, abs=1e-4)


def gradient(loaded: "LoadedModel", **changes: Any) -> torch.Tensor:
    """The first step's gradient, all parameters one after another."""
    teacher = trainer(loaded, settings(steps=1, kl_coefficient=0.1, **changes))
    found: list[torch.Tensor] = []
    step = teacher.optimizer.step

    def spy(rate: float) -> float:
        found.extend(g.flatten().clone() for g in teacher.optimizer.gradients())
        return step(rate)

    teacher.optimizer.step = spy  # type: ignore[method-assign]
    teacher.train(CONVERSATIONS)
    return torch.cat(found)


def test_micro_batches_change_no_gradient(tiny_loaded: "LoadedModel") -> None:
    whole = gradient(tiny_loaded, micro_batch_tokens=100_000)
    for changes in ({"micro_batch_tokens": 1}, {"micro_batch_tokens": 60}, {"micro_batch_prompts": 1}):
        parts = gradient(tiny_loaded, **changes)
        assert (parts - whole).norm() / whole.norm() < 1e-5, changes


def test_a_frozen_policy_is_refused(tiny_loaded: "LoadedModel") -> None:
    faces = models(tiny_loaded)
    for parameter in faces.policy.parameters():
        parameter.requires_grad_(False)
    wanted = settings()
    with pytest.raises(NothingTrained, match="attached frozen"):
        Trainer(faces, wanted, recipe_named("gdpo"), {"letters": 1.0}, rollout_sampler(tiny_loaded, wanted, 2), letters)


def test_a_constant_reward_trains_nothing_and_says_so(tiny_loaded: "LoadedModel") -> None:
    def constant(rollout: Rollout) -> Rewards:
        return Rewards(
            ("letters",), torch.ones(len(rollout.ids), 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
        )

    wanted = settings(steps=2)
    sample = rollout_sampler(tiny_loaded, wanted, 4)
    with pytest.raises(NothingTrained, match="no weight of the adapter moved"):
        Trainer(models(tiny_loaded), wanted, recipe_named("gdpo"), {"letters": 1.0}, sample, constant).train(
            CONVERSATIONS
        )


def test_steps_over_the_kl_budget_are_taken_back(tiny_loaded: "LoadedModel") -> None:
    teacher = trainer(tiny_loaded, settings(steps=20, kl_budget=0.02))
    run = teacher.train(CONVERSATIONS)
    assert len(run.history) < 20
    assert "3 steps taken back" in run.stopped
    assert all(record.taken_back == (record.kl > 0.02) for record in run.history)
    # The last record was taken back, so what stands now is what was measured before it.
    rollout = rollout_sampler(tiny_loaded, settings(), 16)(teacher.models.sampler, CONVERSATIONS, 1)
    kl, _ = divergence(teacher.models.sampler, tiny_loaded.model, rollout, 1.0)
    assert kl < 0.03


def test_merging_goes_back_to_the_base_each_time(tiny_loaded: "LoadedModel") -> None:
    faces = models(tiny_loaded)
    with torch.no_grad():
        for name, parameter in faces.policy.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    merge_into(faces.sampler, tiny_loaded.model, faces.policy)
    once = [p.clone() for p in faces.sampler.parameters()]
    merge_into(faces.sampler, tiny_loaded.model, faces.policy)
    assert all(torch.equal(a, b) for a, b in zip(once, faces.sampler.parameters(), strict=True))


def test_lora_can_be_kept_to_the_upper_layers(tiny_loaded: "LoadedModel") -> None:
    from infra.models.lora import attach_lora
    from policy_update.faces import NoSuchLayer, linear_layers

    names = linear_layers(tiny_loaded.model, 1)
    assert len(names) == 7
    assert all(".layers.1." in name for name in names)
    policy = attach_lora(replace(tiny_loaded, model=copy_of(tiny_loaded.model)), rank=2, targets=names)
    trained = [name for name, parameter in policy.named_parameters() if parameter.requires_grad]
    assert len(trained) == 14
    assert linear_layers(tiny_loaded.model, 0) == "all-linear"
    with pytest.raises(NoSuchLayer, match="0 to 1"):
        linear_layers(tiny_loaded.model, 2)


def test_schedule_by_hand() -> None:
    wanted = settings(steps=5, warmup_steps=2, final_rate=0.2)
    assert [schedule(step, wanted) for step in range(5)] == pytest.approx([0.5, 0.8, 0.6, 0.4, 0.2])
    assert [schedule(step, settings(steps=3, warmup_steps=0)) for step in range(3)] == [1.0, 1.0, 1.0]

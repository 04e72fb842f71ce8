"""What a step is given: groups drawn again, greedy answers, logged answers, and nothing computed that is not needed."""

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from infra.models.chat import render_chat
from policy_update.algebra.table import RECIPES
from policy_update.gathering import Gatherer
from policy_update.objectives import Rewards
from policy_update.processes import Processes
from policy_update.rollout import Rollout, all_logprobs, build_rollout, join_rollouts, sampled_logprobs
from policy_update.scoring import rollout_sampler
from policy_update.trainer import RecipeUnsuited, Trainer
from policy_update.updating import Updating, idle_groups, totals_of
from tests.policy_update.test_trainer import CONVERSATIONS, letters, models, settings

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel


def flat_but_one(rollout: Rollout) -> Rewards:
    """All answers alike, but those to the third conversation and every later draw's."""
    values = [[float(row) if c[0].content == "a week?" else 1.0] for row, c in enumerate(_asked(rollout))]
    return Rewards(("letters",), torch.tensor(values, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))


def _asked(rollout: Rollout) -> list[Any]:
    return [rollout.conversations[owner] for owner in rollout.owner.tolist()]


def gatherer(loaded: "LoadedModel", recipe: Any, reward: Any = letters, **changes: Any) -> Gatherer:
    wanted = settings(group_size=3, **changes)
    return Gatherer(models(loaded), wanted, recipe, rollout_sampler(loaded, wanted, 3), reward, Processes(), None)


def test_groups_without_differences_are_drawn_again(tiny_loaded: "LoadedModel") -> None:
    recipe = replace(RECIPES["grpo"], dynamic_sampling=True)
    one = gatherer(tiny_loaded, recipe, flat_but_one, dynamic_refills=2)
    gathered = one.gather(0, 4, itertools.cycle(CONVERSATIONS))
    # 4 drawn, one of them differs; 3 more, one of which is it again; 2 more, which are the first two.
    asked = [conversation[0].content for conversation in gathered.rollout.conversations]
    assert asked == ["a week?", "a week?"]
    assert gathered.redrawn == 5
    assert gathered.experience.rewards.shape == (2, 3, 1)


def test_where_nothing_differs_the_first_draw_stands(tiny_loaded: "LoadedModel") -> None:
    recipe = replace(RECIPES["grpo"], dynamic_sampling=True)
    one = gatherer(tiny_loaded, recipe, flat_but_one, dynamic_refills=1)
    gathered = one.gather(0, 2, itertools.cycle(CONVERSATIONS[:2]))
    assert [c[0].content for c in gathered.rollout.conversations] == ["fast asleep?", "the capital?"]


def test_the_first_draw_may_hold_no_difference_at_all(tiny_loaded: "LoadedModel") -> None:
    recipe = replace(RECIPES["grpo"], dynamic_sampling=True)
    gathered = gatherer(tiny_loaded, recipe, flat_but_one, dynamic_refills=1).gather(0, 2, iter(CONVERSATIONS))
    assert [c[0].content for c in gathered.rollout.conversations] == ["a week?"]
    assert gathered.redrawn == 2


class Twins(Processes):
    """The first of two processes, of which the other always found what `other` says."""

    def gather(self, own: Any) -> list[Any]:
        return [own, 1 if isinstance(own, int) else own]


def test_a_process_that_found_no_difference_still_has_rows(tiny_loaded: "LoadedModel") -> None:
    """Of two processes; the refill is one group, which is not one for each."""
    wanted = settings(group_size=3, dynamic_refills=1)
    recipe = replace(RECIPES["grpo"], dynamic_sampling=True)
    sample = rollout_sampler(tiny_loaded, wanted, 3)
    one = Gatherer(models(tiny_loaded), wanted, recipe, sample, flat_but_one, Twins(0, 2), None)
    gathered = one.gather(0, 2, itertools.cycle(CONVERSATIONS[:2]))
    assert [c[0].content for c in gathered.rollout.conversations] == ["fast asleep?"]
    assert gathered.rows == slice(0, 3)
    assert gathered.experience.rewards.shape == (2, 3, 1)


def test_more_processes_than_prompts_are_refused(tiny_loaded: "LoadedModel") -> None:
    wanted = settings(prompts_per_step=2)
    sample = rollout_sampler(tiny_loaded, wanted, 3)
    trainer = Trainer(
        models(tiny_loaded), wanted, RECIPES["grpo"], {"letters": 1.0}, sample, letters, processes=Processes(0, 3)
    )
    with pytest.raises(RecipeUnsuited, match=r"a step has 2 prompts .* for 3 processes"):
        trainer.train(CONVERSATIONS)


def test_greedy_answers_where_the_recipe_asks(tiny_loaded: "LoadedModel") -> None:
    gathered = gatherer(tiny_loaded, RECIPES["remax"]).gather(0, 2, itertools.cycle(CONVERSATIONS))
    greedy = gathered.experience.greedy_rewards
    assert greedy is not None
    assert greedy.shape == (2, 1)
    drawn = rollout_sampler(tiny_loaded, settings(), 3)(tiny_loaded.model, CONVERSATIONS[:2], 1, greedy=True)
    assert greedy.tolist() == letters(drawn).values.tolist()


def test_entropies_are_those_of_the_distributions(tiny_loaded: "LoadedModel") -> None:
    gathered = gatherer(tiny_loaded, RECIPES["gtpo"], temperature=0.7).gather(0, 2, itertools.cycle(CONVERSATIONS))
    entropies, rollout = gathered.experience.entropies, gathered.rollout
    assert entropies is not None
    prompt = render_chat(tiny_loaded, rollout.conversations[0])
    answer = rollout.ids[0, : int(rollout.mask[0].sum())].tolist()
    with torch.no_grad():
        logits = tiny_loaded.model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1] / 0.7
    expected = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
    assert torch.allclose(entropies[0, : len(answer)], expected, atol=1e-3)


def test_logged_answers_get_truncated_weights_only(tiny_loaded: "LoadedModel") -> None:
    """The behaviour had these answers at a tenth, and at ten times, of today's probability a token."""
    conversations = CONVERSATIONS[:1]
    rows = [render_chat(tiny_loaded, conversations[0])]
    drawn = rollout_sampler(tiny_loaded, settings(), 3)(tiny_loaded.model, conversations, 1)
    answers = [drawn.ids[i, : int(drawn.mask[i].sum())].tolist() for i in range(3)]
    own = all_logprobs(tiny_loaded.model, drawn, 1.0)
    gaps = (0.0, -2.3, 2.3)
    given = [(a, (own[i, : len(a)] + gaps[i]).tolist()) for i, a in enumerate(answers)]
    rollout = build_rollout(tiny_loaded, conversations, rows, given, [False, True, True])
    recipe = replace(RECIPES["grpo"], importance=RECIPES["gspo"].importance)
    one = gatherer(tiny_loaded, recipe)
    one._sample = lambda *_args, **_more: rollout
    gathered = one.gather(0, 1, iter(conversations))
    targets = recipe.prepare(gathered.experience, torch.ones(1, dtype=torch.float64))
    weighted = Updating(settings(), recipe, None, lambda: None)._weighted(
        targets, sampled_logprobs(tiny_loaded.model, rollout, slice(None), 1.0), rollout, slice(None)
    )
    assert weighted.weights[1, : len(answers[1])].tolist() == pytest.approx([2.0] * len(answers[1]))
    assert weighted.weights[2, : len(answers[2])].tolist() == pytest.approx([0.1] * len(answers[2]), abs=2e-3)


def test_a_logged_answer_without_its_probabilities_is_refused(tiny_loaded: "LoadedModel") -> None:
    rows = [render_chat(tiny_loaded, CONVERSATIONS[0])]
    with pytest.raises(ValueError, match="logged answer 1 has 2 tokens and 1 behaviour log-prob"):
        build_rollout(tiny_loaded, CONVERSATIONS[:1], rows, [([5], [-1.0]), ([5, 6], [-1.0])], [False, True])


def test_groups_that_nothing_pulls_at_are_left_out_and_counted(tiny_loaded: "LoadedModel") -> None:
    recipe = RECIPES["grpo"]
    gathered = gatherer(tiny_loaded, recipe, flat_but_one).gather(0, 3, iter(CONVERSATIONS))
    targets = recipe.prepare(gathered.experience, torch.ones(1, dtype=torch.float64))
    assert idle_groups(targets, gathered.rollout, 0, recipe, 0.0) == [0, 1]
    assert idle_groups(targets, gathered.rollout, 0, recipe, 0.1) == []
    mask = gathered.experience.mask
    assert totals_of(targets, mask, 12).tokens == float(mask.sum())


def test_left_out_groups_change_no_gradient(tiny_loaded: "LoadedModel", monkeypatch: pytest.MonkeyPatch) -> None:
    def gradient() -> torch.Tensor:
        wanted = settings(steps=1, group_size=3)
        sample = rollout_sampler(tiny_loaded, wanted, 3)
        teacher = Trainer(models(tiny_loaded), wanted, RECIPES["grpo"], {"letters": 1.0}, sample, flat_but_one)
        found: list[torch.Tensor] = []
        step = teacher.optimizer.step

        def spy(rate: float) -> float:
            found.extend(g.flatten().clone() for g in teacher.optimizer.gradients())
            return step(rate)

        monkeypatch.setattr(teacher.optimizer, "step", spy)
        run = teacher.train(CONVERSATIONS)
        skipped.append(run.history[0].skipped_groups)
        return torch.cat(found)

    skipped: list[int] = []
    short = gradient()
    monkeypatch.setattr("policy_update.updating.idle_groups", lambda *_args: [])
    whole = gradient()
    assert skipped == [3, 0]
    assert (short - whole).norm() / whole.norm() < 1e-5


def test_several_updates_need_a_ratio(tiny_loaded: "LoadedModel") -> None:
    wanted = settings(updates_per_rollout=2)
    sample = rollout_sampler(tiny_loaded, wanted, 3)
    with pytest.raises(RecipeUnsuited, match="reinforce has no ratio"):
        Trainer(models(tiny_loaded), wanted, RECIPES["reinforce"], {"letters": 1.0}, sample, letters)


def test_the_second_update_is_held_against_the_first_passes_probabilities(tiny_loaded: "LoadedModel") -> None:
    wanted = settings(steps=1, updates_per_rollout=3, group_size=4)
    sample = rollout_sampler(tiny_loaded, wanted, 4)
    teacher = Trainer(models(tiny_loaded), wanted, RECIPES["grpo"], {"letters": 1.0}, sample, letters)
    seen: list[torch.Tensor | None] = []
    accumulate = teacher._updating.accumulate

    def spy(*arguments: Any) -> Any:
        seen.append(None if arguments[-1] is None else arguments[-1].clone())
        return accumulate(*arguments)

    teacher._updating.accumulate = spy  # type: ignore[method-assign]
    teacher.train(CONVERSATIONS)
    assert seen[0] is None
    assert seen[1] is not None
    assert seen[2] is not None
    assert torch.equal(seen[1], seen[2])


def test_joined_rollouts_are_what_a_single_one_would_be(tiny_loaded: "LoadedModel") -> None:
    sample = rollout_sampler(tiny_loaded, settings(), 2)
    whole = sample(tiny_loaded.model, CONVERSATIONS, 3)
    joined = join_rollouts([whole.groups([0, 1]), whole.groups([]), whole.groups([2, 3])])
    assert joined.texts == whole.texts
    assert torch.allclose(
        all_logprobs(tiny_loaded.model, joined, 1.0), all_logprobs(tiny_loaded.model, whole, 1.0), atol=1e-5
    )


def test_micro_batches_hold_about_as_many_tokens(tiny_loaded: "LoadedModel") -> None:
    rollout = rollout_sampler(tiny_loaded, settings(max_new_tokens=12), 4)(tiny_loaded.model, CONVERSATIONS, 3)
    for tokens, prompts in ((1, 9), (40, 9), (150, 9), (10_000, 2)):
        batches = list(rollout.micro_batches(tokens, prompts))
        assert [row for rows in batches for row in range(rows.start, rows.stop)] == list(range(16))
    assert len(list(rollout.micro_batches(1))) == 16
    assert len(list(rollout.micro_batches(10_000))) == 1
    assert len(list(rollout.micro_batches(10_000, 2))) == 2


def love_and_harm(rollout: Rollout) -> Rewards:
    """Vowels are loved; half of all answers do harm."""
    harm = torch.arange(len(rollout.ids), dtype=torch.float64) % 2
    return Rewards(("love", "harm"), torch.stack([letters(rollout).values[:, 0], harm], 1), torch.zeros(2).double())


def constrained(loaded: "LoadedModel", recipe: str = "constrained", **changes: Any) -> Trainer:
    wanted = settings(steps=3, limits={"harm": 0.1}, multiplier_rate=0.5, **changes)
    sample = rollout_sampler(loaded, wanted, wanted.group_size)
    weights = {"love": 1.0, "harm": 1.0} if recipe != "unnamed" else {"love": 1.0}
    chosen = RECIPES["constrained" if recipe == "unnamed" else recipe]
    return Trainer(models(loaded), wanted, chosen, weights, sample, love_and_harm)


def test_the_price_of_a_limit_rises_while_it_is_broken(tiny_loaded: "LoadedModel") -> None:
    """Half harm against a limit of a tenth: 0.5 (0.5 - 0.1) more a step."""
    run = constrained(tiny_loaded).train(CONVERSATIONS)
    assert [record.multipliers["harm"] for record in run.history] == pytest.approx([0.2, 0.4, 0.6])
    assert all(record.covariances["harm"] < 0 for record in run.history)


@pytest.mark.parametrize(
    ("recipe", "weights", "message"),
    [
        ("pass_at_k", {"letters": 1.0}, "recipe_options.k = 4 is more than policy_update.group_size = 3"),
        ("softmin", {"letters": -1.0}, "objectives.letters = -1, but softmin has no sense"),
    ],
)
def test_recipes_that_could_teach_nothing_are_refused(
    tiny_loaded: "LoadedModel", recipe: str, weights: dict[str, float], message: str
) -> None:
    sample = rollout_sampler(tiny_loaded, settings(), 3)
    with pytest.raises(RecipeUnsuited, match=message):
        Trainer(models(tiny_loaded), settings(group_size=3), RECIPES[recipe], weights, sample, letters)


def test_limits_that_would_be_ignored_are_refused(tiny_loaded: "LoadedModel") -> None:
    with pytest.raises(RecipeUnsuited, match="gdpo knows no limits and would raise what they name"):
        constrained(tiny_loaded, "gdpo")
    with pytest.raises(RecipeUnsuited, match="limits names harm, which no reward gives"):
        constrained(tiny_loaded, "unnamed")

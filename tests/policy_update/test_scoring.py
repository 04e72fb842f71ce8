"""Scores of a rollout against the reward model's own features, and likelihoods against one pass a row."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from infra.contracts import Message
from infra.models.chat import render_chat
from infra.models.features import pooled_hidden_states
from infra.models.loading import LoadedModel
from infra.models.logprobs import sequence_logprobs
from infra.settings import Settings
from infra.settings.policy_rewards import PolicyRewardsSettings, RewardTerm
from policy_update.prompts import Reference
from policy_update.rewards.batch import InvalidReward
from policy_update.rollout import build_rollout
from policy_update.scoring import RewardSource
from policy_update.service import teacher_and_examiner
from reward_model.features import FeatureRecipe
from reward_model.finetuning.saved import FinetunedRewardModel
from reward_model.finetuning.training import train_lora_reward_model
from reward_model.scoring import open_reward_model
from tests.reward_model.finetuning.conftest import make_examples
from tests.reward_model.finetuning.test_training import OPTIONS

CONVERSATIONS = ((Message("user", "fast asleep?"),), (Message("user", "the capital of Norway, please?"),))
WORDS = [[40, 41, 42, 43], [44, 45], [46, 47, 48, 49, 50], [51]]


@dataclass(frozen=True)
class Recipe:
    layers: tuple[int, ...] = (0, 1, -1)
    opening_tokens: int = 2
    reads_base: bool = True


@dataclass(frozen=True)
class Scores:
    values: np.ndarray  # type: ignore[type-arg]
    uncertainty: np.ndarray  # type: ignore[type-arg]


class Listening:
    """A scorer that remembers the features it was shown and likes everything by half."""

    objectives = ("love", "harm")
    recipe = Recipe()
    seen: torch.Tensor

    def score(self, *_texts: object) -> Scores:
        raise AssertionError("it reads hidden states")

    def score_hidden(self, pooled: torch.Tensor) -> Scores:
        self.seen = pooled
        return Scores(np.full((len(pooled), 2), 0.5), np.full((len(pooled), 2), 0.1))


@pytest.fixture
def prompts(tiny_loaded: LoadedModel) -> list[list[int]]:
    return [render_chat(tiny_loaded, conversation) for conversation in CONVERSATIONS]


def test_features_are_those_the_reward_model_was_trained_on(tiny_loaded: LoadedModel, prompts: list[list[int]]) -> None:
    end = tiny_loaded.end_ids[0]
    answers = [[*words, end] for words in WORDS]
    rollout = build_rollout(tiny_loaded, CONVERSATIONS, prompts, [(tokens, [0.0] * len(tokens)) for tokens in answers])
    scorer = Listening()
    RewardSource(tiny_loaded, scorer, {"love": 1.0}, 1.0).training_rewards(rollout)
    rows = [prompts[i // 2] + words for i, words in enumerate(WORDS)]
    starts = [len(prompts[i // 2]) for i in range(4)]
    expected = pooled_hidden_states(tiny_loaded, rows, starts, Recipe().layers, opening=2)
    assert torch.allclose(scorer.seen, expected, atol=1e-4)


def test_coherence_and_relevance_against_one_pass_a_row(tiny_loaded: LoadedModel, prompts: list[list[int]]) -> None:
    rollout = build_rollout(tiny_loaded, CONVERSATIONS, prompts, [(tokens, [0.0] * len(tokens)) for tokens in WORDS])
    source = RewardSource(tiny_loaded, Listening(), {"coherence": 1.0, "relevance": 1.0}, 0.7)
    rewards = source.training_rewards(rollout)
    given = sequence_logprobs(tiny_loaded, [prompts[i // 2] for i in range(4)], WORDS)
    generic = render_chat(tiny_loaded, [Message("user", "Tell me something.")])
    alone = sequence_logprobs(tiny_loaded, [generic] * 4, WORDS)
    assert rewards.column("coherence").tolist() == pytest.approx([float(np.mean(row)) for row in given], abs=1e-4)
    information = [float(np.mean(a) - np.mean(b)) for a, b in zip(given, alone, strict=True)]
    assert rewards.column("relevance").tolist() == pytest.approx(information, abs=1e-4)
    assert rewards.base_logprobs is not None
    tempered = sequence_logprobs(tiny_loaded, [prompts[i // 2] for i in range(4)], WORDS, temperature=0.7)
    for row, expected in zip(rewards.base_logprobs, tempered, strict=True):
        assert row[: len(expected)].tolist() == pytest.approx(expected, abs=1e-4)


def test_guardrails_are_scored_for_the_gate_only(tiny_loaded: LoadedModel, prompts: list[list[int]]) -> None:
    rollout = build_rollout(tiny_loaded, CONVERSATIONS, prompts, [(tokens, [0.0] * len(tokens)) for tokens in WORDS])
    source = RewardSource(tiny_loaded, Listening(), {"love": 1.0}, 1.0)
    assert source.training_rewards(rollout).names == ("love",)
    guarded = source.guarded_rewards(rollout)
    assert set(guarded.names) == {"love", "harm", "relevance", "coherence"}
    # love is used as log-odds (0.5 -> 0, error 0.1 / 0.25), harm as the probability its limit is stated in.
    assert guarded.column("love").tolist() == pytest.approx([0.0] * 4)
    assert float(guarded.noise[guarded.names.index("love")]) == pytest.approx(0.4)
    assert guarded.column("harm").tolist() == pytest.approx([0.5] * 4)


def test_terms_are_scored_with_references_and_heads_are_lowered_in_training(
    tiny_loaded: LoadedModel, prompts: list[list[int]]
) -> None:
    rollout = build_rollout(tiny_loaded, CONVERSATIONS, prompts, [(tokens, [0.0] * len(tokens)) for tokens in WORDS])
    terms = {
        "right": RewardTerm(kind="exact_match"),
        "brief": RewardTerm(kind="length", parameters={"budget": 1}),
    }
    wanted = PolicyRewardsSettings(terms=terms, uncertainty_penalty=2.0, self_certainty=True)
    references = {CONVERSATIONS[0]: Reference(answer=rollout.texts[0])}
    weights = {"right": 1.0, "love": 1.0, "brief": 1.0, "harm": 0.0}
    source = RewardSource(tiny_loaded, Listening(), weights, 1.0, wanted, references)
    rewards = source.training_rewards(rollout)
    assert rewards.names == ("right", "love", "brief", "harm")
    right = rewards.column("right").tolist()
    assert right[0] == 1.0
    assert all(value != value for value in right[2:]), "no reference, nothing said"
    assert source.guarded_rewards(rollout).column("right").tolist()[2:] == [0.0, 0.0], "nor for the gate"
    assert rewards.column("brief").tolist() == pytest.approx([-min(1.0, len(words) - 1) for words in WORDS])
    # love: log-odds 0, error 0.1 / 0.25, twice; harm is a cost: raised, and still a probability.
    assert rewards.column("love").tolist() == pytest.approx([-0.8] * 4)
    assert rewards.column("harm").tolist() == pytest.approx([0.7] * 4)
    assert source.guarded_rewards(rollout).column("love").tolist() == pytest.approx([0.0] * 4)
    assert rewards.features["self_certainty"].shape == (4,)


def test_a_term_may_not_take_the_name_of_a_head(tiny_loaded: LoadedModel) -> None:
    wanted = PolicyRewardsSettings(terms={"love": RewardTerm(kind="repetition")})
    with pytest.raises(InvalidReward, match=r"terms\.love has the name of an objective there is"):
        RewardSource(tiny_loaded, Listening(), {"love": 1.0}, 1.0, wanted)


def test_a_fine_tuned_reward_model_reads_the_texts_and_teaches_and_examines(
    tiny_loaded: LoadedModel, prompts: list[list[int]], settings: Settings, tmp_path: Path
) -> None:
    trained = train_lora_reward_model(tiny_loaded, make_examples(), OPTIONS)
    FinetunedRewardModel.of(trained, FeatureRecipe((), 48, 24)).save(tmp_path / "reward")
    opened = open_reward_model(tmp_path / "reward", tiny_loaded)
    assert isinstance(opened, FinetunedRewardModel)
    crossed = replace(opened, halves=(opened.told(version=8), opened.told(version=9)))
    assert [one.manifest.version for one in teacher_and_examiner(crossed, 1, settings)] == [9, 8]
    teacher, examiner = teacher_and_examiner(opened, 1, settings)
    assert teacher is examiner, "it holds no halves"

    end, bound = tiny_loaded.end_ids[0], settings.policy_update.rewards.utility_bound
    answers = [[*words, end] for words in WORDS[:3]] + [[end]]
    rollout = build_rollout(tiny_loaded, CONVERSATIONS, prompts, [(tokens, [0.0] * len(tokens)) for tokens in answers])
    source = RewardSource(tiny_loaded, teacher, {"love": 1.0, "utility": 0.5, "coherence": 0.1}, 1.0)
    rewards = source.training_rewards(rollout)
    for row, tokens in enumerate(answers):
        text = tiny_loaded.tokenizer.decode(tokens, skip_special_tokens=True)
        alone = trained.scorer.score_groups([[_closed(tiny_loaded, CONVERSATIONS[row // 2], text)]], 512)[0]
        assert float(rewards.column("love")[row]) == pytest.approx(float(alone[0, 0]), abs=1e-4)
        bounded = bound * np.tanh(float(alone[1, 0]) / bound)
        assert float(rewards.column("utility")[row]) == pytest.approx(bounded, abs=1e-4)
    listened = RewardSource(tiny_loaded, Listening(), {"coherence": 1.0}, 1.0).training_rewards(rollout)
    assert torch.equal(rewards.values[:, 2], listened.values[:, 0]), "what the base says of them is as before"


def _closed(loaded: LoadedModel, conversation: tuple[Message, ...], text: str) -> list[int]:
    """Prompt, answer and the end of the turn, as tokens."""
    words = loaded.tokenizer(text, add_special_tokens=False).input_ids
    return [*render_chat(loaded, conversation)[-48:], *words[:24], loaded.end_ids[0]]

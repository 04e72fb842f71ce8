"""Answers people were given, as rows to learn from: only with the probabilities they were drawn with (contract 3).

An answer drawn long ago by another adapter says something about today's policy only through the ratio of probabilities,
pi(answer) / mu(answer). Where mu is not known exactly, or not for these tokens under this base, the answer is left out
and counted by reason; nothing is guessed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.contracts import Answer, Interaction
from policy_update.prompts import Conversation

if TYPE_CHECKING:
    from infra.models.loading import LoadedModel
    from policy_update.gathering import Sampling
    from policy_update.rollout import Rollout

Rows = Mapping[Conversation, Sequence["LoggedRow"]]


@dataclass(frozen=True)
class Identity:
    """What tokens and probabilities mean: SHA-256 of base weights, tokenizer and chat template."""

    base_model_hash: str
    tokenizer_hash: str
    template_hash: str

    @classmethod
    def of(cls, base: "LoadedModel") -> "Identity":
        return cls(base.base_model_hash, base.tokenizer_hash, base.template_hash)


@dataclass(frozen=True)
class LoggedRow:
    """One logged answer: its prompt and its own tokens, and log mu of each token as drawn, nats (T,).

    `adapter` drew it (`name@version` or base); `cut` where the token limit ended it.
    """

    response_id: str
    choice: int
    conversation: Conversation
    prompt_token_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    adapter: str
    cut: bool


def usable_rows(interactions: Iterable[Interaction], identity: Identity) -> tuple[list[LoggedRow], dict[str, int]]:
    """All usable rows in the order given, and how many answers were left out for each reason."""
    rows: list[LoggedRow] = []
    left_out: Counter[str] = Counter()
    for interaction in interactions:
        for answer in interaction.answers:
            reason = unusable(interaction, answer, identity)
            if reason:
                left_out[reason] += 1
                continue
            rows.append(
                LoggedRow(
                    interaction.response_id,
                    answer.choice,
                    interaction.messages,
                    interaction.prompt_token_ids,
                    answer.token_ids,
                    answer.logprobs_sampled,
                    interaction.adapter,
                    answer.finish_reason == "length",
                )
            )
    return rows, dict(left_out)


def unusable(interaction: Interaction, answer: Answer, identity: Identity) -> str:
    """Why an answer has no exact ratio of probabilities, or ""."""
    sampling = interaction.sampling
    if interaction.source != "gateway":
        return "not ours"
    if not answer.token_ids or not interaction.prompt_token_ids:
        return "no tokens"
    if len(answer.logprobs_sampled) != len(answer.token_ids) or not all(v <= 0.0 for v in answer.logprobs_sampled):
        return "no log-probabilities"
    if sampling.temperature <= 0.0:
        return "greedy: nothing was drawn"
    if sampling.top_p < 1.0 or sampling.top_k > 0:
        return "truncated sampler: answers the policy could give had no chance"
    if interaction.base_model_hash != identity.base_model_hash:
        return "another base"
    if interaction.tokenizer_hash != identity.tokenizer_hash:
        return "another tokenizer"
    if interaction.template_hash != identity.template_hash:
        return "another template"
    return ""


def rows_by_conversation(
    base: "LoadedModel", interactions: Iterable[Interaction], most_tokens: int
) -> tuple[dict[Conversation, list[LoggedRow]], dict[str, int]]:
    """The usable rows of each conversation in the order given, and how many were left out for each reason: also those
    whose prompt this base renders otherwise, and those longer than a rollout may be."""
    from infra.models.chat import render_chat

    rows, left_out = usable_rows(interactions, Identity.of(base))
    found: defaultdict[Conversation, list[LoggedRow]] = defaultdict(list)
    counts = Counter(left_out)
    for row in rows:
        if len(row.token_ids) > most_tokens:
            counts["longer than max_new_tokens"] += 1
        elif tuple(render_chat(base, row.conversation)) != row.prompt_token_ids:
            counts["another rendering of the prompt"] += 1
        else:
            found[row.conversation].append(row)
    return dict(found), dict(counts)


def with_logged(sample: "Sampling", base: "LoadedModel", rows: Rows, most: int) -> "Sampling":
    """The same sampler, but of each group up to `most` drawn answers give way to logged ones to that conversation (one
    is always drawn), in turn by the seed. They are marked, and keep the log-probabilities they were drawn with."""

    def drawn(
        model: Any, conversations: Sequence[Conversation], seed: int, *, first: int = 0, greedy: bool = False
    ) -> "Rollout":
        rollout = sample(model, conversations, seed, first=first, greedy=greedy)
        if greedy or not any(conversation in rows for conversation in conversations):
            return rollout
        return _replaced(base, rollout, [_chosen(rows.get(c, ()), most, seed) for c in conversations])

    return drawn


def _chosen(rows: Sequence[LoggedRow], most: int, seed: int) -> list[LoggedRow]:
    count = min(most, len(rows))
    return [rows[(seed * count + index) % len(rows)] for index in range(count)]


def _replaced(base: "LoadedModel", rollout: "Rollout", chosen: Sequence[Sequence[LoggedRow]]) -> "Rollout":
    from policy_update.rollout import build_rollout

    answers: list[tuple[Sequence[int], Sequence[float]]] = []
    marks: list[bool] = []
    size = rollout.group_size
    for number, own in enumerate(chosen):
        taken = list(own)[: size - 1]
        for row in range(number * size, (number + 1) * size - len(taken)):
            length = int(rollout.mask[row].sum())
            answers.append((rollout.ids[row, :length].tolist(), rollout.sampler_logprobs[row, :length].tolist()))
            marks.append(False)
        answers += [(row.token_ids, row.logprobs) for row in taken]
        marks += [True] * len(taken)
    prompts = [ids[mask.bool()].tolist() for ids, mask in zip(rollout.prompt_ids, rollout.prompt_mask, strict=True)]
    return build_rollout(base, rollout.conversations, prompts, answers, marks)

"""Answers people were given, as rows to learn from: only with the probabilities they were drawn with (contract 3).

An answer drawn long ago by another adapter says something about today's policy only through the ratio of probabilities,
pi(answer) / mu(answer). Where mu is not known exactly, or not for these tokens under this base, the answer is left out
and counted by reason; nothing is guessed.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from infra.contracts import Answer, Interaction
from policy_update.prompts import Conversation


@dataclass(frozen=True)
class Identity:
    """What tokens and probabilities mean: SHA-256 of base weights, tokenizer and chat template."""

    base_model_hash: str
    tokenizer_hash: str
    template_hash: str


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


def usable_rows(
    interactions: Iterable[Interaction], identity: Identity, limit: int
) -> tuple[list[LoggedRow], dict[str, int]]:
    """At most `limit` rows in the order given, and how many answers were left out for each reason."""
    rows: list[LoggedRow] = []
    left_out: Counter[str] = Counter()
    for interaction in interactions:
        for answer in interaction.answers:
            if len(rows) >= limit:
                return rows, dict(left_out)
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

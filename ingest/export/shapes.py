"""Rows of exports: what a label or a pair looks like to others. Pure.

The TRL shapes are those of trl's documentation of dataset formats: preference data as `prompt`, `chosen`, `rejected`,
unpaired preference data (KTO) as `prompt`, `completion`, `label`, all conversational: lists of role and content. Rows
carry ids beside that, which trl ignores and which let an erasure find its rows again; no user key is ever in a row.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.contracts import Interaction, Message

Row = dict[str, Any]
Answers = Mapping[str, Interaction]


def label_rows(label: Mapping[str, Any], answers: Answers) -> Iterator[Row]:
    """A label with its prompt and answer, flat: `value.<objective>` in [0, 1] or None, `weight.<objective>`."""
    found = answer_of(label["response_id"], label["choice"], answers)
    if found is None:
        return
    interaction, text = found
    yield {
        "response_id": label["response_id"],
        "choice": label["choice"],
        "version": label["version"],
        "status": label["status"],
        "made_at": label["made_at"],
        "config_hash": label["config_hash"],
        "adapter": interaction.adapter,
        "prompt": messages(interaction.messages),
        "completion": text,
        **{f"value.{name}": value for name, value in sorted(label["objective_values"].items())},
        **{f"weight.{name}": value for name, value in sorted(label["weights"].items())},
    }


def pair_rows(pair: Mapping[str, Any], answers: Answers) -> Iterator[Row]:
    """A pair with its prompt and both answers, flat."""
    both = _both(pair, answers)
    if both is None:
        return
    interaction, chosen, rejected = both
    yield {
        "pair_id": pair["pair_id"],
        "response_id": pair["preferred_response_id"],
        "choice": pair["preferred_choice"],
        "other_response_id": pair["other_response_id"],
        "other_choice": pair["other_choice"],
        "source": pair["source"],
        "weight": pair["weight"],
        "made_at": pair["made_at"],
        "prompt": messages(interaction.messages),
        "chosen": chosen,
        "rejected": rejected,
    }


def kto_rows(label: Mapping[str, Any], answers: Answers, objective: str) -> Iterator[Row]:
    """A label as an unpaired preference: true from 0.5 on. Labels that say nothing about the objective, or whose weight
    in it is 0, have no row."""
    value = label["objective_values"].get(objective)
    found = answer_of(label["response_id"], label["choice"], answers)
    if value is None or found is None or not label["weights"].get(objective, 0.0) > 0.0:
        return
    interaction, text = found
    yield {
        "prompt": messages(interaction.messages),
        "completion": assistant(text),
        "label": value >= 0.5,
        "value": value,
        "weight": label["weights"][objective],
        "response_id": label["response_id"],
        "choice": label["choice"],
    }


def preference_rows(pair: Mapping[str, Any], answers: Answers) -> Iterator[Row]:
    """A pair as a preference."""
    both = _both(pair, answers)
    if both is None:
        return
    interaction, chosen, rejected = both
    yield {
        "prompt": messages(interaction.messages),
        "chosen": assistant(chosen),
        "rejected": assistant(rejected),
        "weight": pair["weight"],
        "source": pair["source"],
        "pair_id": pair["pair_id"],
        "response_id": pair["preferred_response_id"],
        "other_response_id": pair["other_response_id"],
    }


def messages(said: tuple[Message, ...]) -> list[dict[str, str]]:
    """Messages as lists of role and content."""
    return [{"role": one.role, "content": one.content} for one in said]


def assistant(text: str) -> list[dict[str, str]]:
    """An answer as a conversation of one message."""
    return [{"role": "assistant", "content": text}]


def answer_of(response_id: str, choice: int, answers: Answers) -> tuple[Interaction, str] | None:
    """The interaction and the text of one of its answers, if both are known."""
    interaction = answers.get(response_id)
    if interaction is None:
        return None
    text = next((one.text for one in interaction.answers if one.choice == choice), None)
    return None if text is None else (interaction, text)


def _both(pair: Mapping[str, Any], answers: Answers) -> tuple[Interaction, str, str] | None:
    chosen = answer_of(pair["preferred_response_id"], pair["preferred_choice"], answers)
    rejected = answer_of(pair["other_response_id"], pair["other_choice"], answers)
    if chosen is None or rejected is None:
        return None
    return chosen[0], chosen[1], rejected[1]

"""Interactions, labels and pairs as rows of their tables, in the order of the tables' columns, and labels back."""

from typing import Any

import msgspec

from infra.contracts import Interaction, Label, PreferencePair
from ingest.codec import interaction_hash
from ingest.standing import NOBODY, NOTHING


def interaction_row(item: Interaction, now: float) -> tuple[Any, ...]:
    """The columns of `interactions`, payload and hash included; `now`: when it is applied."""
    return (
        item.project,
        item.response_id,
        item.conversation_id,
        item.user_key,
        item.created_at,
        item.adapter,
        item.experiment,
        item.arm,
        item.propensity,
        item.phase,
        item.source,
        max(now, item.created_at),
        lengths_of(item),
        msgspec.msgpack.encode(item),
        interaction_hash(item),
    )


def lengths_of(item: Interaction) -> str:
    """JSON: [[choice, characters, tokens], ...] of the answers; 0 tokens where the answer was made elsewhere."""
    lengths = [(answer.choice, len(answer.text), len(answer.token_ids)) for answer in item.answers]
    return msgspec.json.encode(lengths).decode()


def label_row(label: Label) -> tuple[Any, ...]:
    """`ingest.provisional.LABEL_COLUMNS`. A provisional row names only objectives that have a value: it is written
    often, and is half as long so."""
    values, weights = label.values, label.weights
    if label.version == 0:
        values = {name: value for name, value in values.items() if value is not None}
        weights = {name: weights[name] for name in values}
    return (
        label.project,
        label.response_id,
        label.choice,
        label.version,
        label.status,
        values,
        weights,
        label.events_counted,
        label.config_hash,
        label.made_at,
        label.window_closes_at,
        NOTHING,
        NOBODY,
    )


def label_of(row: Any) -> Label:
    """The label that a row of `labels` stands for."""
    return Label(
        project=row.project,
        response_id=row.response_id,
        choice=row.choice,
        version=row.version,
        status=row.status,
        values=row.objective_values,
        weights=row.weights,
        made_at=row.made_at,
        window_closes_at=row.window_closes_at,
        events_counted=row.events_counted,
        config_hash=row.config_hash,
    )


def pair_row(pair: PreferencePair) -> tuple[Any, ...]:
    """The columns of `pairs`; not withdrawn."""
    return (
        pair.project,
        pair.pair_id,
        pair.preferred_response_id,
        pair.preferred_choice,
        pair.other_response_id,
        pair.other_choice,
        pair.source,
        pair.user_key,
        pair.weight,
        pair.made_at,
        None,
    )

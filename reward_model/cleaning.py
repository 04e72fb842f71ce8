"""From rows of the store to opinions that count once: refused, joined, weighed by trust, without repeats. Pure.

Everything left out is counted under a reason; the order of the rows never matters.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from infra.contracts import PlauditError
from reward_model.rows import AnswerRow, Key, LabelRow, PairRow

_RANK = {"matched": 0, "regenerate": 1, "edit": 2, "duel": 3}
"""Of two opinions of one person about two texts the more telling one holds, whenever it came: who compares says more
than who turns away."""


class InvalidTrainingRow(PlauditError):
    """A label or pair holds a number that no opinion can be."""

    code = "invalid_training_row"
    status = 422


@dataclass
class Cleaned:
    """Labels by answer, pairs by id, each once; `dropped`: rows left out, by reason."""

    labels: list[LabelRow]
    pairs: list[PairRow]
    dropped: Counter[str] = field(default_factory=Counter)


def clean(
    known: Mapping[Key, AnswerRow],
    labels: Sequence[LabelRow],
    pairs: Sequence[PairRow],
    trust: Mapping[str, float],
    prior_trust: float = 1.0,
) -> Cleaned:
    """The opinions that teach. `trust`: weight in [0, 1] by person, `prior_trust` for the others; it multiplies pairs
    and provisional labels only, since ingest has put it into the weights of final ones already. Raises
    InvalidTrainingRow."""
    for label in labels:
        check_label(label)
    for pair in pairs:
        check_pair(pair)
    dropped: Counter[str] = Counter()
    found = [label for label in labels if label.key in known]
    dropped["labels_without_interaction"] = len(labels) - len(found)
    weighed = [_weighed(label, known[label.key], trust, prior_trust) for label in found]
    telling = [label for label in weighed if any(_says(label, name) for name in label.values)]
    dropped["labels_without_value"] = len(found) - len(telling)
    merged = _merged(known, telling)
    dropped["repeated_labels"] = len(telling) - len(merged)
    return Cleaned(merged, _clean_pairs(known, pairs, trust, prior_trust, dropped), dropped)


def judges_of(label: LabelRow, answer: AnswerRow) -> tuple[str, ...]:
    """Whose opinion a label is: the people it was made from, else the answer's own user; () where nobody is known."""
    return label.judges or ((answer.user_key,) if answer.user_key else ())


def judge_of(label: LabelRow, answer: AnswerRow) -> str | None:
    """The one person a label is attributed to: of several judges the answer's own user, else the first."""
    judges = judges_of(label, answer)
    return answer.user_key if answer.user_key in judges else judges[0] if judges else None


def check_label(label: LabelRow) -> None:
    """Raises InvalidTrainingRow unless values are None or in [0, 1], and weights finite and >= 0."""
    for name, value in label.values.items():
        if value is not None and not (isinstance(value, int | float) and 0.0 <= value <= 1.0):
            raise _invalid(f"label of {label.key}", f"values[{name!r}]", value, "None or a number in [0, 1]")
    for name, weight in label.weights.items():
        if not (isinstance(weight, int | float) and 0.0 <= weight < math.inf):
            raise _invalid(f"label of {label.key}", f"weights[{name!r}]", weight, "a finite number >= 0")


def check_pair(pair: PairRow) -> None:
    """Raises InvalidTrainingRow unless weight >= 0 is finite, soft in [0.5, 1] and margin in [0, 1]."""
    for name, value, low, high in (
        ("weight", pair.weight, 0.0, math.inf),
        ("soft", pair.soft, 0.5, 1.0),
        ("margin", pair.margin, 0.0, 1.0),
    ):
        if not low <= value <= high or value == math.inf:
            raise _invalid(f"pair {pair.pair_id}", name, value, f"a finite number in [{low}, {high}]")


def _weighed(label: LabelRow, answer: AnswerRow, trust: Mapping[str, float], prior: float) -> LabelRow:
    """A provisional label, the plain mean over its judges, with their mean trust in its weights; a final one as is."""
    if label.status != "provisional":
        return label
    judges = judges_of(label, answer)
    mean = sum(trust.get(name, prior) for name in judges) / len(judges) if judges else prior
    return replace(label, weights={name: weight * mean for name, weight in label.weights.items()})


def _invalid(row: str, name: str, value: float, wanted: str) -> InvalidTrainingRow:
    return InvalidTrainingRow(
        f"{row}: {name} is {value}, not {wanted}; nothing is trained on it. Mend or delete the row in the store "
        "(labels are made again by `plaudit ingest label`), then train again",
        field=name,
    )


def _says(label: LabelRow, objective: str) -> bool:
    return label.values.get(objective) is not None and label.weights.get(objective, 1.0) > 0.0


def _merged(known: Mapping[Key, AnswerRow], labels: Sequence[LabelRow]) -> list[LabelRow]:
    """One label for each person, prompt and text: on the newest answer, each objective as the newest label that speaks
    of it has it (a silence does not wipe out an earlier vote). Without a person every answer stands alone."""
    alike: dict[tuple[str, str], list[LabelRow]] = {}
    for label in labels:
        answer = known[label.key]
        person = judge_of(label, answer) or f"\x00{label.key}"
        alike.setdefault((person, answer.near_key), []).append(label)
    return sorted((_newest(some) for some in alike.values()), key=lambda label: label.key)


def _newest(some: list[LabelRow]) -> LabelRow:
    if len(some) == 1:
        return some[0]
    some = sorted(some, key=lambda label: (label.made_at, label.key))
    values: dict[str, float | None] = {}
    weights: dict[str, float] = {}
    for label in some:
        for name, value in label.values.items():
            if _says(label, name) or name not in values:
                values[name], weights[name] = value, label.weights.get(name, 1.0)
    return replace(
        some[-1],
        values=values,
        weights=weights,
        judges=tuple(sorted({name for label in some for name in label.judges})),
    )


def _clean_pairs(
    known: Mapping[Key, AnswerRow],
    pairs: Sequence[PairRow],
    trust: Mapping[str, float],
    prior_trust: float,
    dropped: Counter[str],
) -> list[PairRow]:
    joined = [pair for pair in pairs if pair.preferred in known and pair.other in known]
    dropped["pairs_without_interaction"] = len(pairs) - len(joined)
    compared = [pair for pair in joined if known[pair.preferred].prompt_key == known[pair.other].prompt_key]
    dropped["pairs_across_prompts"] = len(joined) - len(compared)
    different = [pair for pair in compared if len(texts_of(known, pair)) == 2]
    dropped["pairs_of_equal_texts"] = len(compared) - len(different)
    weighed = [replace(pair, weight=pair.weight * _trust(pair, trust, prior_trust)) for pair in different]
    trusted = [pair for pair in weighed if pair.weight > 0.0]
    dropped["pairs_without_weight"] = len(weighed) - len(trusted)
    kept = _without_repeated_pairs(known, trusted)
    dropped["repeated_pairs"] = len(trusted) - len(kept)
    return kept


def texts_of(known: Mapping[Key, AnswerRow], pair: PairRow) -> frozenset[str]:
    """The two texts of a pair, one where they are equal but for case, spacing and marks."""
    return frozenset((known[pair.preferred].near_key, known[pair.other].near_key))


def _trust(pair: PairRow, trust: Mapping[str, float], prior: float) -> float:
    if pair.user_key is None:
        return prior
    weight = trust.get(pair.user_key, prior)
    if not 0.0 <= weight <= 1.0:
        raise _invalid(f"trust in the judge of pair {pair.pair_id}", "weight", weight, "a number in [0, 1]")
    return weight


def _without_repeated_pairs(known: Mapping[Key, AnswerRow], pairs: Iterable[PairRow]) -> list[PairRow]:
    """One preference for each person and two texts, in either order: the most telling one, of these the newest."""
    best: dict[tuple[str, frozenset[str]], PairRow] = {}
    for pair in sorted(pairs, key=lambda p: (_RANK.get(p.source, 0), p.made_at, p.pair_id)):
        best[pair.user_key or f"\x00{pair.pair_id}", texts_of(known, pair)] = pair
    return sorted(best.values(), key=lambda pair: pair.pair_id)


def with_margins(known: Mapping[Key, AnswerRow], pairs: Sequence[PairRow], labels: Sequence[LabelRow]) -> list[PairRow]:
    """Pairs with a margin where their judge also gave graded opinions of both answers: how much more sentiment the
    preferred one has, 0 where it has less or nothing is known. Margins that are there already stay."""
    sentiment: dict[tuple[str, Key], float] = {}
    for label in labels:
        judges = judges_of(label, known[label.key])
        value = label.values.get("sentiment")
        if len(judges) == 1 and value is not None and _says(label, "sentiment"):
            sentiment[judges[0], label.key] = value
    made = []
    for pair in pairs:
        person = pair.user_key or ""
        better, worse = sentiment.get((person, pair.preferred)), sentiment.get((person, pair.other))
        if pair.margin == 0.0 and better is not None and worse is not None:
            pair = replace(pair, margin=max(0.0, better - worse))
        made.append(pair)
    return made

"""From rows of the store to opinions that count once."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from reward_model.cleaning import Cleaned, InvalidTrainingRow, clean, judge_of, judges_of, with_margins
from reward_model.rows import AnswerRow, LabelRow, PairRow
from tests.reward_model.builders import answer, label, pair

NAN = float("nan")


def cleaned(
    answers: list[AnswerRow], labels: Sequence[LabelRow] = (), pairs: Sequence[PairRow] = (), **more: object
) -> Cleaned:
    trust = more.pop("trust", {})
    return clean({row.key: row for row in answers}, labels, pairs, trust, **more)  # type: ignore[arg-type]


def asked(number: int, text: str | None = None, **more: object) -> AnswerRow:
    return answer(number, prompt="q", **({"text": text} if text is not None else {}), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [NAN, -0.1, 1.1, float("inf")])
def test_a_value_no_opinion_can_have_is_refused_by_name(value: float) -> None:
    with pytest.raises(InvalidTrainingRow, match=r"label of \('r0', 0\): values\['love'\] is "):
        cleaned([answer(0)], [label(answer(0), love=value)])


@pytest.mark.parametrize("weight", [NAN, -1.0, float("inf")])
def test_a_weight_no_opinion_can_have_is_refused_by_name(weight: float) -> None:
    with pytest.raises(
        InvalidTrainingRow, match=r"label of \('r0', 0\): weights\['love'\] is .* `plaudit ingest label`"
    ):
        cleaned([answer(0)], [label(answer(0), weight=weight, love=1.0)])
    with pytest.raises(InvalidTrainingRow, match="pair p0: weight is"):
        cleaned([asked(0), asked(1)], pairs=[pair(0, asked(0), asked(1), weight=weight)])


@pytest.mark.parametrize("field", [{"soft": 0.4}, {"soft": NAN}, {"margin": 1.5}, {"margin": NAN}])
def test_soft_labels_and_margins_out_of_range_are_refused(field: dict[str, float]) -> None:
    with pytest.raises(InvalidTrainingRow, match=f"pair p0: {next(iter(field))} is"):
        cleaned([asked(0), asked(1)], pairs=[pair(0, asked(0), asked(1), **field)])


def test_labels_that_say_nothing_are_dropped_and_counted() -> None:
    """None of them a value of positive weight: emptied by an erasure, all of nobody trusted, or objectives refused."""
    rows = [answer(i) for i in range(4)]
    labels = [
        label(rows[0], love=None),
        label(rows[1], weight=0.0, love=1.0),
        LabelRow(rows[2].key, {}, {}, 1.0),
        label(rows[3], love=0.0),
    ]
    found = cleaned(rows, labels)
    assert [row.key for row in found.labels] == [rows[3].key]
    assert found.dropped["labels_without_value"] == 3


def test_near_duplicates_of_one_person_are_one_opinion_each_objective_as_last_said() -> None:
    rows = [
        asked(0, "Yes."),
        asked(1, "yes", user_key="u0"),
        asked(2, "YES!", user_key="u0"),
        asked(3, "yes"),
    ]
    labels = [
        label(rows[0], 10.0, love=1.0, sentiment=0.9, dwell=None),
        label(rows[1], 20.0, love=1.0, sentiment=None, dwell=0.5),
        LabelRow(rows[2].key, {"love": 0.0, "sentiment": None, "dwell": 0.2}, {"love": 0.5, "dwell": 0.0}, 30.0),
        label(rows[3], 5.0, love=0.0),
    ]
    found = cleaned(rows, labels)
    assert [row.key[0] for row in found.labels] == ["r2", "r3"]
    merged = found.labels[0]
    assert merged.values == {"love": 0.0, "sentiment": 0.9, "dwell": 0.5}, "silence does not wipe out a vote"
    assert merged.weights == {"love": 0.5, "sentiment": 1.0, "dwell": 1.0}
    assert merged.made_at == 30.0
    assert found.dropped["repeated_labels"] == 2


def test_the_judge_is_who_spoke_not_whose_answer_it_is() -> None:
    row = answer(0, user_key="ann")
    assert judges_of(label(row, love=1.0), row) == ("ann",)
    by_others = replace(label(row, love=1.0), judges=("bob", "cyd"))
    assert judges_of(by_others, row) == ("bob", "cyd")
    assert judge_of(by_others, row) == "bob"
    assert judge_of(replace(by_others, judges=("ann", "bob")), row) == "ann"
    nobody = answer(1, user_key=None)
    assert judge_of(label(nobody, love=1.0), nobody) is None
    assert judges_of(label(nobody, love=1.0), nobody) == ()


def test_one_text_by_one_judge_on_two_peoples_answers_is_repeated() -> None:
    rows = [asked(0, "yes"), asked(1, "yes")]
    labels = [replace(label(row, float(i), love=1.0), judges=("bob",)) for i, row in enumerate(rows)]
    assert len(cleaned(rows, labels).labels) == 1


def test_pairs_are_dropped_with_a_reason() -> None:
    rows = [asked(0, "one"), asked(1, "two"), asked(2, "One!"), answer(3, prompt="another")]
    pairs = [
        pair(0, rows[0], rows[1]),
        pair(1, rows[0], answer(9)),
        pair(2, rows[0], rows[2]),
        pair(3, rows[0], rows[3]),
        pair(4, rows[0], rows[1], user_key="bot"),
        pair(5, rows[0], rows[1], weight=0.0),
    ]
    found = cleaned(rows, [], pairs, trust={"bot": 0.0})
    assert [p.pair_id for p in found.pairs] == ["p0"]
    assert {reason: count for reason, count in found.dropped.items() if count} == {
        "pairs_without_interaction": 1,
        "pairs_of_equal_texts": 1,
        "pairs_across_prompts": 1,
        "pairs_without_weight": 2,
    }


def test_trust_multiplies_pairs_and_not_labels() -> None:
    rows = [asked(0), asked(1)]
    pairs = [pair(0, *rows, weight=0.5, user_key="ann"), pair(1, *rows, user_key="new"), pair(2, *rows, user_key=None)]
    found = cleaned(rows, [label(rows[0], love=1.0)], pairs, trust={"ann": 0.2, "u0": 0.1}, prior_trust=0.6)
    assert [p.weight for p in found.pairs] == pytest.approx([0.1, 0.6, 0.6])
    assert found.labels[0].weights == {"love": 1.0}
    with pytest.raises(InvalidTrainingRow, match="trust in the judge of pair p0"):
        cleaned(rows, [], pairs, trust={"ann": NAN})


def test_of_one_persons_opinions_about_two_texts_the_most_telling_then_the_newest_holds() -> None:
    rows = [asked(0, "one"), asked(1, "two"), asked(2, "ONE")]
    pairs = [
        pair(1, rows[0], rows[1], user_key="ann", made_at=1.0),
        pair(2, rows[1], rows[2], user_key="ann", made_at=2.0),
        pair(3, rows[0], rows[1], user_key="ann", made_at=3.0, source="regenerate"),
        pair(4, rows[0], rows[1], user_key="bob", made_at=0.0),
    ]
    found = cleaned(rows, [], pairs)
    assert [p.pair_id for p in found.pairs] == ["p2", "p4"]
    assert found.dropped["repeated_pairs"] == 2


def test_margins_come_from_the_judges_own_grades() -> None:
    rows = [asked(i, f"text {i}", user_key="ann") for i in range(4)]
    labels = [
        label(rows[0], sentiment=0.9),
        label(rows[1], sentiment=0.4),
        label(rows[2], weight=0.0, sentiment=0.1),
        replace(label(rows[3], sentiment=0.0), judges=("bob",)),
    ]
    known = {row.key: row for row in rows}

    def margin(one: int, other: int, **more: object) -> float:
        given = pair(0, rows[one], rows[other], **{"user_key": "ann", **more})
        return with_margins(known, [given], labels)[0].margin

    assert margin(0, 1) == pytest.approx(0.5)
    assert margin(1, 0) == 0.0, "preferred although graded lower: no margin, the preference stays"
    assert margin(0, 2) == 0.0, "a label without weight says nothing"
    assert margin(0, 3) == 0.0, "graded by somebody else"
    assert margin(0, 1, user_key="bob") == 0.0
    assert margin(0, 1, margin=0.2) == 0.2


def test_provisional_labels_get_the_trust_that_final_ones_have() -> None:
    rows = [answer(i) for i in range(3)]
    labels = [
        replace(label(rows[0], love=1.0), status="provisional"),
        replace(label(rows[1], love=1.0), status="provisional", judges=("ann", "bot")),
        replace(label(rows[2], love=1.0), status="provisional", judges=("bot",)),
    ]
    found = cleaned(rows, labels, trust={"ann": 0.8, "bot": 0.0}, prior_trust=0.5)
    assert [row.weights["love"] for row in found.labels] == pytest.approx([0.5, 0.4])
    assert found.dropped["labels_without_value"] == 1


def test_a_value_that_is_no_number_is_refused_by_name() -> None:
    with pytest.raises(InvalidTrainingRow, match="is 1, not None or a number"):
        cleaned([answer(0)], [label(answer(0), love="1")])  # type: ignore[arg-type]

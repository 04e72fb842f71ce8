"""One label from a ledger, worked out by hand."""

from infra.settings.ingest import IngestSettings
from ingest.labels import InteractionFacts, Labelling, make_label
from tests.ingest.builders import START, version

LABELLING = Labelling.of(IngestSettings(window_seconds=100.0))


def label(versions: list, facts: InteractionFacts | None, final: bool = False):  # type: ignore[no-untyped-def]
    return make_label("p", ("r", 0), versions, facts, LABELLING, version=int(final), made_at=START)


def test_the_window_opens_with_the_interaction_or_the_earliest_event() -> None:
    versions = [version("shown", START + 5), version("like", START + 3)]
    assert label(versions, None).window_closes_at == START + 103
    assert label(versions, InteractionFacts("u", START - 20)).window_closes_at == START + 80


def test_values_and_weights() -> None:
    made = label(
        [version("shown"), version("dwell", value=10.0)], InteractionFacts("u", START, "[[0, 160, 40]]"), final=True
    )
    assert made.status == "final"
    assert made.values == {"love": 0.0, "sentiment": None, "dwell": 0.5, "reuse": 0.0, "share": 0.0, "harm": 0.0}
    assert made.weights == {"love": 1.0, "sentiment": 0.0, "dwell": 0.0, "reuse": 1.0, "share": 1.0, "harm": 1.0}
    assert made.events_counted == 2


def test_a_provisional_label_says_nothing_about_silence() -> None:
    made = label([version("shown")], None)
    assert made.status == "provisional"
    assert set(made.values.values()) == {None}


def test_withdrawn_signals_leave_an_empty_label() -> None:
    made = label([version("like", 1.0), version("like", 2.0, operation="withdraw")], None, final=True)
    assert made.events_counted == 0
    assert made.values["love"] is None


def test_owner_and_other_voters_are_different_people() -> None:
    versions = [version("shown"), version("like"), version("shown", user_key="other")]
    assert label(versions, InteractionFacts("owner", START), final=True).values["love"] == 0.5
    assert label(versions, InteractionFacts("other", START), final=True).values["love"] == 1.0


def test_the_configuration_hash_follows_what_labels_depend_on() -> None:
    other = Labelling.of(IngestSettings(window_seconds=101.0))
    same = Labelling.of(IngestSettings(window_seconds=100.0, poll_seconds=0.5))
    assert other.config_hash != LABELLING.config_hash == same.config_hash

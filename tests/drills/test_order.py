"""The same records in any order, grouping and repetition give the same labels and pairs (the long form of the property
tests in `tests/ingest/test_apply.py`: whole plant, real log)."""

from pathlib import Path

import pytest

from tests.drills.audit import clean_run, records_of, settle
from tests.drills.conftest import MakePlant
from tests.drills.stream import reactions, send


@pytest.mark.timeout(180)
def test_shuffled_and_repeated_records_change_nothing(make_plant: MakePlant, tmp_path: Path) -> None:
    plant = make_plant()
    plant.start()
    events = reactions(11, 80)
    for sender in send(plant.url, events, batch=7):
        sender.join(60.0)
    settle(plant, events)
    records = records_of(plant.context)
    once = clean_run(plant.settings, tmp_path / "once", records)
    for seed in (1, 2):
        again = clean_run(plant.settings, tmp_path / f"again-{seed}", [*records, *records[::3]], shuffled=seed)
        assert again == once

"""Two specifications side by side: numbers by hand, and shadows that the label job writes."""

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from infra.contracts import ManualClock
from infra.db.tables import labels
from infra.settings.ingest import IngestSettings
from ingest.labels import Labelling
from ingest.specification.comparison import NoCandidate, compare, compare_now
from ingest.specification.document import document_hash, document_of
from ingest.specification.repository import LabelBeside, SpecificationRepository
from ingest.specification.versions import Specifications, labelling_of
from tests.ingest.builders import PROJECT, START, event
from tests.ingest.worlds import DAY, close_windows, put, with_ingest

if TYPE_CHECKING:
    from infra.runtime import Context


def test_by_hand() -> None:
    rows = [
        LabelBeside({"love": a}, {"love": 1.0}, {"love": b, "new": 1.0}, {"love": 0.5, "new": 0.0})
        for a, b in [(1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (None, 1.0), (1.0, None)]
    ]
    love, new = compare(rows)
    assert (love.answers, love.in_force, love.candidate, love.both) == (5, 4, 4, 3)
    assert love.agree == pytest.approx(2 / 3)
    assert love.correlation == pytest.approx(0.5)  # of (1,1), (0,1), (0,0)
    assert (love.mean_in_force, love.mean_candidate) == (0.5, 0.75)
    assert (love.weight_in_force, love.weight_candidate) == (5.0, 2.5)
    assert (new.in_force, new.candidate, new.agree, new.correlation) == (0, 5, None, None)


def test_the_label_job_runs_a_candidate_beside_the_one_in_force(context: "Context", clock: ManualClock) -> None:
    with_ingest(
        context,
        candidate_specification={
            "enabled": True,
            "objectives": {"reuse": {"signals": ["shown", "copy"]}, "love": {"window_seconds": 3 * DAY}},
        },
    )
    events = [event(f"r{i}", "shown") for i in range(4)] + [event("r0", "copy"), event("r1", "reuse")]
    put(context, [], events)
    assert close_windows(context, START + 2 * DAY) == 4
    found = {one.objective: one for one in compare_now(context, 100)[1]}
    assert (found["love"].in_force, found["love"].candidate) == (4, 0)  # the candidate's window is still open
    with context.database.reading() as connection:
        waiting = connection.execute(select(labels.c.window_closes_at).where(labels.c.version == 0)).scalars().all()
    assert waiting == [START + 3 * DAY] * 4  # nobody looks at these answers before
    assert close_windows(context, START + 4 * DAY) == 0
    found = {one.objective: one for one in compare_now(context, 100)[1]}
    assert (found["love"].candidate, found["love"].agree) == (4, 1.0)
    assert found["reuse"].agree == pytest.approx(3 / 4)
    assert (found["reuse"].mean_in_force, found["reuse"].mean_candidate) == (0.5, 0.25)
    with context.database.reading() as connection:
        versions = SpecificationRepository(connection, PROJECT).versions()
    assert {version.first_used_at for version in versions} == {START + 2 * DAY}
    assert len(versions) == 2


def test_without_a_candidate_there_is_nothing_to_compare(context: "Context") -> None:
    with pytest.raises(NoCandidate, match=r"candidate_specification\.enabled"):
        compare_now(context, 10)


def test_a_version_out_of_the_store_is_the_one_that_went_in() -> None:
    settings = IngestSettings(objectives={"reuse": {"weight": 0.2, "window_seconds": 5.0}})  # type: ignore[arg-type]
    document = document_of(settings)
    again = labelling_of(document)
    assert again == Labelling.of(settings)
    assert again.config_hash == document_hash(document)
    assert again.window_seconds == 5.0  # the first window to close
    del document["objectives"]["harm"]
    assert [objective.name for objective in labelling_of(document).objectives][-1] == "share"
    assert Specifications.of(settings).candidate is None

"""Every page with data, with none, and with a store that fails; and the numbers on them are those of the store."""

import json
import re
from typing import Any

import pytest
from sqlalchemy import func, select, update

from infra.db.tables import adapters, dead_letters, decisions, experiment_looks, interactions, labels
from infra.runtime import Context
from ingest.access import audit
from serving.console.charts import Line, chart, histogram
from tests.serving.console.conftest import PAGES, promoted, signed_in

INLINE = re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)|\sstyle=|\son[a-z]+=|javascript:", re.IGNORECASE)


def documents(text: str) -> list[dict[str, Any]]:
    """What the plots of a page are drawn from."""
    return [json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', text, re.S)]


def shown(text: str, name: str) -> str:
    """The text of the element marked so."""
    found = re.search(rf'data-testid="{name}"[^>]*>(.*?)</', text, re.S)
    assert found is not None, name
    return re.sub(r"<[^>]*>", "", found.group(1)).strip()


def one(context: Context, query: Any) -> Any:
    with context.database.reading() as connection:
        return connection.execute(query).scalar_one()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_shows_what_is_recorded(recorded: Context, path: str) -> None:
    answer = signed_in(recorded).get(f"/console{path}")
    assert answer.status_code == 200
    assert answer.text.count("<h1>") == 1
    assert 'class="lead"' in answer.text, "each page says what it shows and what to do"
    assert 'data-testid="empty"' not in answer.text, "the recorded store has something for every part"
    assert INLINE.findall(answer.text) == [], "the policy lets no inline script or style run"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_says_so_when_there_is_nothing(empty: Context, path: str) -> None:
    answer = signed_in(empty).get(f"/console{path}")
    assert answer.status_code == 200
    # The controls have one thing to show: that somebody signed in.
    assert ("has no champion before it" if path == "/controls" else 'data-testid="empty"') in answer.text


@pytest.mark.parametrize("path", PAGES)
def test_every_page_is_readable_when_the_store_fails(empty: Context, path: str) -> None:
    client = signed_in(empty)
    with empty.database.transaction() as connection:
        connection.exec_driver_sql("DROP TABLE serving_state")
    answer = client.get(f"/console{path}")
    assert answer.status_code == 500
    assert "did not answer as it should" in answer.text
    assert "serving_state" not in answer.text, "what failed is in the log, not on the page"


def test_no_key_of_a_person_and_no_secret_is_on_any_page(recorded: Context) -> None:
    with recorded.database.reading() as connection:
        keys = {str(key) for key in connection.execute(select(interactions.c.user_key)).scalars() if key}
    client = signed_in(recorded)
    refs = one(recorded, select(adapters.c.name).limit(1))
    pages = [*PAGES, f"/models/{refs}@1", "/experiment?check=all"]
    texts = [client.get(f"/console{path}").text for path in pages]
    assert keys
    assert not [key for key in keys for text in texts if key in text]
    assert not [text for text in texts if "person-1" in text]


def test_the_experiment_draws_the_course_that_looks_left(recorded: Context) -> None:
    trial = promoted(recorded)
    answer = signed_in(recorded).get(f"/console/experiment?id={trial}")
    effect, evidence, traffic = documents(answer.text)
    with recorded.database.reading() as connection:
        rows = connection.execute(
            select(experiment_looks)
            .where(experiment_looks.c.metric == "love", experiment_looks.c.experiment_id == trial)
            .order_by(experiment_looks.c.people)
        ).mappings()
        course = {(row["people"], row["effect"]): row for row in rows}
    drawn = list(zip(effect["x"]["values"], effect["lines"][2]["values"], strict=True))
    assert len(drawn) >= 2
    assert all(point in course for point in drawn)
    for at, point in enumerate(drawn):
        assert effect["lines"][0]["values"][at] == course[point]["low"]
        assert effect["lines"][1]["values"][at] == course[point]["high"]
    assert effect["band"] == [2, 1]
    assert [rule["name"] for rule in evidence["rules"]] == ["promote", "take back"]
    assert traffic["x"]["time"]
    assert shown(answer.text, "people-challenger").isdigit()


def test_a_changed_row_of_the_ledger_is_seen(recorded: Context) -> None:
    client = signed_in(recorded)
    assert "follows from the one before" in client.get("/console/experiment").text
    assert "Every row of the ledger" in client.get("/console/experiment?check=all").text
    first = one(recorded, select(func.min(decisions.c.sequence)))
    with recorded.database.transaction() as connection:
        connection.execute(update(decisions).where(decisions.c.sequence == first).values(reason="it was fine"))
    broken = client.get("/console/experiment?check=all")
    assert "does not hold together" in broken.text
    assert f"decision {first}" in shown(broken.text, "chain")


def test_numbers_are_those_of_the_store(recorded: Context) -> None:
    client = signed_in(recorded)
    waiting = one(recorded, select(func.count()).select_from(labels).where(labels.c.status == "provisional"))
    assert shown(client.get("/console/").text, "waiting") == str(waiting)
    letters = one(recorded, select(func.count()).select_from(dead_letters).where(dead_letters.c.status == "open"))
    assert letters > 0
    assert shown(client.get("/console/feedback").text, "letters-open") == str(letters)


def test_a_turn_leads_from_feedback_to_its_decision(recorded: Context) -> None:
    text = signed_in(recorded).get("/console/").text
    turns = re.findall(r'data-testid="turn">(.*?)</article>', text, re.S)
    assert turns
    told = next(turn for turn in turns if "/console/experiment?id=" in turn)
    for link in ("/console/rewards?version=", "/console/models/", "/console/runs/", "#ledger"):
        assert any(link in turn for turn in turns), link
    assert told.index("Feedback") < told.index("Reward model") < told.index("Adapters") < told.index("Decision")


def test_every_declared_job_has_a_row_once_it_ran() -> None:
    from plaudit.jobs import all_jobs
    from serving.console.loop import JOBS

    assert sorted(JOBS) == sorted(job.name for job in all_jobs())


def test_the_trail_says_which_job_was_paused(empty: Context) -> None:
    with empty.database.transaction() as connection:
        audit.record(connection, "cli:ops", "job.paused", {"job": "trust", "reason": "a drill"},
                     project=empty.settings.project, at=1.0)  # fmt: skip
    told = re.sub(r"<[^>]*>", "", signed_in(empty).get("/console/controls").text)
    assert "a drill job trust" in " ".join(told.split())


def test_an_adapter_shows_its_family_both_ways_and_its_checks(recorded: Context) -> None:
    client = signed_in(recorded)
    with recorded.database.reading() as connection:
        row = connection.execute(select(adapters).where(adapters.c.parent != "base").limit(1)).mappings().first()
    assert row is not None, "the recorded loop turned twice"
    child, parent = f"{row['name']}@{row['version']}", row["parent"]
    own = client.get(f"/console/models/{child}").text
    assert f"/console/models/{parent}" in own
    assert "Tripwires" in own
    assert f"/console/models/{child}" in client.get(f"/console/models/{parent}").text
    assert client.get("/console/models/loop@999").status_code == 404
    assert client.get("/console/models/..%2Fetc").status_code in (400, 404)


@pytest.mark.parametrize(
    "path",
    ["/rewards?objective=nonsense", "/rewards?version=loop@99", "/experiment?id=none", "/runs/none",
     "/feedback/letters/none", "/static/none.js", "/static/vendor/..%2Fconsole.css", "/nowhere"],
)  # fmt: skip
def test_what_is_not_there_is_named(recorded: Context, path: str) -> None:
    assert signed_in(recorded).get(f"/console{path}").status_code == 404


def test_texts_are_shown_only_where_they_may_be(recorded: Context) -> None:
    from dataclasses import replace

    letter = one(recorded, select(dead_letters.c.letter_id).limit(1))
    assert "<pre>" in signed_in(recorded).get(f"/console/feedback/letters/{letter}").text
    console = recorded.settings.console.model_copy(update={"show_texts": False})
    discreet = replace(recorded, settings=recorded.settings.model_copy(update={"console": console}))
    assert "<pre>" not in signed_in(discreet).get(f"/console/feedback/letters/{letter}").text


def test_a_chart_keeps_its_last_point_in_the_table() -> None:
    made = chart("c", "t", x=("people", list(range(100))), y="y", lines=[Line("a", [float(n) for n in range(100)])])
    assert made["table"][-1] == [99, 99.0]
    assert len(made["table"]) <= 12
    assert made["drawn"]
    assert not chart("c", "t", x=("people", [1]), y="y", lines=[Line("a", [1.0])])["drawn"]


def test_a_histogram_counts_both_ends() -> None:
    assert histogram([0.0, 0.05, 0.95, 1.0], bins=10) == [0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]
    assert histogram([]) == []

"""The report: from a store with nothing in it, and from one with a trained adapter; the profile it ran under."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert

from infra.contracts import PlauditError
from infra.db import Database
from infra.db.tables import adapter_proofs, adapters, decisions, job_runs, labels
from infra.settings import Settings, load_settings
from plaudit.demo import profile, report
from plaudit.demo.conductor import Story, _gated
from plaudit.demo.facts import Facts, gather
from plaudit.demo.options import DemoOptions
from plaudit.demo.repository import milestones, takes_traffic
from plaudit.demo.run import _fresh
from plaudit.demo.verdicts import front_data


@pytest.fixture
def options(tmp_path: Path) -> DemoOptions:
    return DemoOptions(folder=tmp_path / "demo")


def facts_of(database: Database, settings: Settings, story: Story, failure: PlauditError | None = None) -> Facts:
    return gather(database, settings, story, failure, 61.0, 2**30, "2026-01-01 00:00 UTC")


def test_the_profile_is_a_valid_configuration(options: DemoOptions) -> None:
    settings = load_settings(profile.write(options, ["loop@1"]))
    assert settings.project == "demo"
    assert settings.ab_testing.ramp_shares == (0.5,)
    assert [metric.name for metric in settings.ab_testing.metrics] == ["love", "harm", "feedback_rate"]
    assert settings.serving.pinned_adapters == ("loop@1",)
    assert settings.reward_model.min_new_labels == int(1.4 * options.people_before)


def test_an_adapter_takes_traffic_once_a_replica_has_proven_it(sqlite_database: Database) -> None:
    for replica, status in (("r1", "refused"), ("r2", "unloaded"), ("r3", "indistinguishable")):
        with sqlite_database.transaction() as connection:
            row = {"project": "demo", "replica": replica, "adapter": "loop@2", "status": status, "detail": {}}
            connection.execute(adapter_proofs.insert().values(**row, proved_at=1.0))
            assert takes_traffic(connection, "demo", "loop@2") is (replica == "r3")
            assert not takes_traffic(connection, "demo", "loop@1")


def test_an_unfinished_run_is_reported_as_such(sqlite_database: Database, options: DemoOptions, tmp_path: Path) -> None:
    settings = load_settings(profile.write(options))
    facts = facts_of(sqlite_database, settings, Story(options), PlauditError("the service did not come back"))
    assert not facts.closed
    facts = replace(facts, extra={"size": "a smaller demo of about 13 minutes"})
    page = report.write(facts, tmp_path / "report").read_text()
    assert "did not close: the service did not come back" in page
    assert "no adapter was trained" in page
    assert '<p class="sub" data-testid="size">a smaller demo of about 13 minutes</p>' in page
    assert "<script" not in page


def test_the_first_of_everything_is_timed_from_when_the_system_was_ready(
    sqlite_database: Database, options: DemoOptions, tmp_path: Path
) -> None:
    settings = load_settings(profile.write(options))
    run = {"run_id": "r", "job": "label", "holder": "h", "status": "done", "detail": "", "progress": {},
           "config_hash": "", "started_at": 100.0, "heartbeat_at": 100.0, "project": "demo"}  # fmt: skip
    label = {"choice": 0, "status": "final", "objective_values": {}, "weights": {}, "events_counted": 1,
             "config_hash": "", "window_closes_at": 1.0, "project": "demo"}  # fmt: skip
    row = {"experiment_id": "e", "reason": "", "evidence": {}, "config_hash": "", "watermark": 1.0,
           "previous_hash": "", "hash": "", "project": "demo"}  # fmt: skip
    with sqlite_database.transaction() as connection:
        connection.execute(insert(job_runs).values(**run))
        for response, version, at in (("a", 0, 101.0), ("a", 1, 126.0), ("b", 1, 130.0)):
            connection.execute(insert(labels).values(response_id=response, version=version, made_at=at, **label))
        for number, kind in enumerate(("start", "hold", "stop"), 1):
            decided = {"sequence": number, "decision_id": kind, "kind": kind, "decided_at": 100.0 + 300.0 * number}
            connection.execute(insert(decisions).values(**decided, **row))
    with sqlite_database.reading() as connection:
        assert milestones(connection, "demo") == {"final label": 26.0, "decision": 900.0}
        assert milestones(connection, "nobody") == {}
    tiles = report.tiles(facts_of(sqlite_database, settings, Story(options)))
    assert next(tile["value"] for tile in tiles if tile["id"] == "milestones") == "26 s, 15.0 min"


def test_a_lost_event_means_the_loop_did_not_close(sqlite_database: Database, options: DemoOptions) -> None:
    settings = load_settings(profile.write(options))
    story = Story(options, outcome="promoted", acknowledged_events=["0199c1f2-55a1-7c3e-9d61-6f1f5a1d2b70"])
    facts = facts_of(sqlite_database, settings, story)
    assert facts.lost == 1
    assert not facts.closed


def test_text_from_models_is_escaped(sqlite_database: Database, options: DemoOptions, tmp_path: Path) -> None:
    settings = load_settings(profile.write(options))
    story = Story(options, outcome="refused by the gate", reasons=["<img src=x onerror=alert(1)>"])
    page = report.write(facts_of(sqlite_database, settings, story), tmp_path / "report").read_text()
    assert "<img" not in page
    assert "&lt;img" in page


def test_only_an_earlier_demo_is_replaced(tmp_path: Path, options: DemoOptions) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(PlauditError, match="no earlier demo"):
        _fresh(folder)
    assert (folder / "thesis.txt").exists()
    profile.write(options)
    _fresh(options.folder)
    assert not options.folder.exists()


def add_candidates(database: Database) -> None:
    """A cycle as the room writes it: one trained adapter that was promoted, and two combinations of it."""

    def level(mean: float) -> dict[str, float]:
        return {"mean": mean, "low": mean - 0.05, "high": mean + 0.05}

    champion = {"love": level(0.2), "relevance": level(0.9)}
    rows = (
        (1, "champion", "trained", 0.4, {"love": level(0.3), "relevance": level(0.8)}),
        (2, "reserve", "trained x 0.5", 0.2, {"love": level(0.25), "relevance": level(0.7)}),
        (3, "refused", "trained x 1.3", 0.6, {"love": level(0.35), "relevance": level(0.5)}),
    )
    with database.transaction() as connection:
        for version, state, label, gain, levels in rows:
            checks = [{"name": "reward", "passed": state != "refused", "reason": f"<b>gain {gain}</b>", "low": gain}]
            step = {"step": 0, "kl": 0.01, "rewards": {"love": 0.1}}
            connection.execute(
                adapters.insert().values(
                    project="demo", name="loop", version=version, path="x", base_model_hash="b", file_hashes={},
                    fingerprint={}, state=state, parent="base", run_id="",
                    lineage={"cycle": "1", "control": "base"}, created_at=float(version),
                    gate={
                        "passed": state != "refused", "reasons": [], "checks": checks, "label": label, "gain": gain,
                        "levels": levels, "champion_levels": champion, "history": [step] if version == 1 else [],
                    },
                )
            )  # fmt: skip


def test_the_gate_and_the_front_are_shown(sqlite_database: Database, options: DemoOptions, tmp_path: Path) -> None:
    add_candidates(sqlite_database)
    facts = facts_of(sqlite_database, load_settings(profile.write(options)), Story(options, outcome="promoted"))
    assert facts.adapter["version"] == 1, "the one that met people, whatever the others' gain"
    front = front_data(facts)
    assert front is not None
    told = {row["ref"]: (row["label"], row["state"], row["front"]) for row in front["rows"]}
    assert told == {
        "base": ("what everybody is served", "champion before", "yes"),
        "loop@1": ("trained", "passed, promoted", "yes"),
        "loop@2": ("trained x 0.5", "passed, in reserve", ""),
        "loop@3": ("trained x 1.3", "refused", "yes"),
    }
    page = report.write(facts, tmp_path / "report").read_text()
    assert "loop@1 (trained) passed: 1 of 1 checks passed" in page
    assert "&lt;b&gt;gain 0.4&lt;/b&gt;" in page, "what the gate measured is text"
    assert "0.300 (0.250 to 0.350)" in page
    assert page.count('class="spot') == 4
    assert '"fingerprint"' not in (tmp_path / "report" / "report.json").read_text()


def test_a_cycle_counts_as_gated_and_refused_only_whole(sqlite_database: Database) -> None:
    def gated() -> bool:
        with sqlite_database.reading() as connection:
            return _gated(connection, "demo") is not None

    assert not gated()
    add_candidates(sqlite_database)
    assert gated()
    with sqlite_database.transaction() as connection:
        connection.execute(adapters.update().where(adapters.c.version == 2).values(state="candidate"))
    assert not gated()


def test_the_default_loss_stands_beside_plain_bradley_terry() -> None:
    interval = {"estimate": 0.6, "low": 0.5, "high": 0.7, "count": 40, "groups": 20}
    utility = {
        "loss": "huber_bt",
        "flip_rate": 0.12,
        "accuracy": interval,
        "accuracy_bt": interval | {"estimate": 0.55},
        "gain_over_bt": {"estimate": 0.05, "low": -0.01, "high": 0.11},
    }
    row = {"metrics": {"heads": {"utility": utility}}}
    assert report.loss_comparison(row) == (
        "huber_bt 60.0%, plain bt 55.0% of 40 unseen pairs (gain +5.0%, -1.0% to +11.0%); flip rate 0.12"
    )
    assert report.loss_comparison(None) == ""
    assert report.loss_comparison({"metrics": {"heads": {"love": {}}}}) == ""


def test_the_report_leads_into_the_console(sqlite_database: Database, options: DemoOptions, tmp_path: Path) -> None:
    settings = load_settings(profile.write(options))
    facts = facts_of(sqlite_database, settings, Story(options))
    extra = {"console": "http://127.0.0.1:8080/console", "again": "plaudit up"}
    page = report.write(replace(facts, extra=extra), tmp_path / "report").read_text()
    for path in ("/", "/experiment", "/rewards", "/feedback", "/models", "/controls"):
        assert f'href="http://127.0.0.1:8080/console{path}"' in page
    assert 'data-testid="console"' not in report.write(facts, tmp_path / "bare").read_text()

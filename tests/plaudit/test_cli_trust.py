"""`plaudit ingest trust` and `plaudit ingest honeypots` as a person meets them."""

import json
import time
from pathlib import Path

import pytest

from infra.contracts import SystemClock
from infra.runtime import open_context
from infra.settings import load_settings
from ingest.consumer import FeedbackConsumer
from ingest.trust.records import PersonTrust
from ingest.trust.repository import TrustRepository
from tests.ingest.builders import PROJECT, event, interaction
from tests.ingest.test_consumer import send, serve
from tests.plaudit.test_cli import plaudit


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """A data folder in which ada voted ten times, bob twice, and a ring of three is in quarantine."""
    given = {"PLAUDIT_DATA_DIR": str(tmp_path / "data")}
    context = open_context(load_settings(overrides={"data_dir": tmp_path / "data"}), SystemClock())
    now = time.time()
    serve(context, *(interaction(f"r{i}") for i in range(2)))
    votes = [("ada" + "0" * 61, 10), ("bob" + "0" * 61, 2), *(("ring" + str(i) + "0" * 59, 5) for i in range(3))]
    send(
        context,
        *(event(f"r{i}", user_key=key, derived_at=now, received_at=now) for key, n in votes for i in range(n)),
    )
    consumer = FeedbackConsumer(context)
    while consumer.drain():
        pass
    consumer.close()
    with context.database.transaction() as connection:
        TrustRepository(connection, PROJECT).append(
            [
                PersonTrust(
                    user_key=key, estimated_at=now, votes_until=now, weight=0.0, reliability=0.9, reliability_low=0.8,
                    reliability_high=1.0, votes=5, status="quarantined", reasons=("one of 3 people [who] agree",),
                    config_hash="",
                )
                for key, _ in votes[2:]
            ]
        )  # fmt: skip
    context.close()
    return given


def test_who_taught_the_model(variables: dict[str, str]) -> None:
    told = plaudit("ingest", "trust", **variables)
    assert told.returncode == 0, told.stderr
    assert "ada0000000 " in told.stdout
    assert "0" * 20 not in told.stdout, "no whole key is shown"
    assert "weighted: 2 people as 1.4 equal ones" in told.stdout
    assert "votes as they came: 5 people" in told.stdout
    assert "one of 3 people [who] agree" in told.stdout

    document = json.loads(plaudit("ingest", "trust", "--json", "--top", "1", **variables).stdout)
    assert [one["person"] for one in document["teachers"]] == ["ada0000000"]
    assert document["teachers"][0]["share"] == pytest.approx(10 / 12)
    assert document["concentration"]["effective"] == pytest.approx(144 / 104)
    assert document["concentration_unweighted"]["people"] == 5
    assert len(document["quarantined"]) == 3


def test_honeypots(variables: dict[str, str]) -> None:
    added = plaudit("ingest", "honeypots", "add", "r0", "r1", "--reason", "the other is false", **variables)
    assert added.returncode == 0, added.stderr
    honeypot = added.stdout.strip()
    listed = plaudit("ingest", "honeypots", "list", **variables).stdout
    assert honeypot in listed
    assert "r0#0" in listed
    assert plaudit("ingest", "honeypots", "retire", honeypot, **variables).returncode == 0
    assert plaudit("ingest", "honeypots", "list", **variables).stdout.strip() == "no honeypots"
    again = plaudit("ingest", "honeypots", "retire", honeypot, **variables)
    assert again.returncode == 2
    assert "honeypots list" in again.stderr

"""`voter_weights`: the newest estimate at or before an instant, the prior for strangers."""

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from ingest.trust.records import PersonTrust
from ingest.trust.repository import TrustRepository
from ingest.trust.weights import voter_weights
from tests.ingest.builders import PROJECT

if TYPE_CHECKING:
    from infra.db import Database


def version(user_key: str = "ada", **more: Any) -> PersonTrust:
    fields: dict[str, Any] = {
        "user_key": user_key,
        "estimated_at": 100.0,
        "votes_until": 99.0,
        "weight": 0.5,
        "reliability": 0.6,
        "reliability_low": 0.2,
        "reliability_high": 0.9,
        "votes": 12,
        "status": "active",
        "reasons": (),
        "config_hash": "c" * 64,
        **more,
    }
    return PersonTrust(**fields)


def test_a_stranger_has_the_prior_weight(database: "Database") -> None:
    with database.reading() as connection:
        assert voter_weights(connection, PROJECT, ["ada", ""]) == {"ada": 1.0, "": 1.0}
        assert voter_weights(connection, PROJECT, {"ada"}, prior_weight=0.3) == {"ada": 0.3}
        assert voter_weights(connection, PROJECT, []) == {}


def test_the_newest_estimate_at_or_before_the_instant_counts(database: "Database") -> None:
    versions = [
        version(estimated_at=100.0, weight=0.5),
        version(estimated_at=200.0, weight=0.0, status="quarantined", reasons=("a ring of 5",)),
        version("bob", estimated_at=150.0, weight=0.9),
    ]
    with database.transaction() as connection:
        repository = TrustRepository(connection, PROJECT)
        assert repository.append(versions) == 3
        assert repository.append(versions) == 0  # append-only, and idempotent
        TrustRepository(connection, "another").append([version(estimated_at=500.0, weight=0.123)])
    with database.reading() as connection:
        assert voter_weights(connection, PROJECT, ["ada", "bob"]) == {"ada": 0.0, "bob": 0.9}
        assert voter_weights(connection, PROJECT, ["ada", "bob"], as_of=200.0) == {"ada": 0.0, "bob": 0.9}
        assert voter_weights(connection, PROJECT, ["ada", "bob"], as_of=199.9) == {"ada": 0.5, "bob": 0.9}
        assert voter_weights(connection, PROJECT, ["ada", "bob"], as_of=120.0) == {"ada": 0.5, "bob": 1.0}
        assert voter_weights(connection, PROJECT, ["ada"], as_of=99.0) == {"ada": 1.0}
        newest = TrustRepository(connection, PROJECT).newest()
    assert newest == {"ada": versions[1], "bob": versions[2]}


def test_a_version_is_never_changed(database: "Database") -> None:
    with database.transaction() as connection:
        repository = TrustRepository(connection, PROJECT)
        repository.append([version()])
        repository.append([msgspec.structs.replace(version(), weight=0.1)])
        assert repository.weights(["ada"]) == {"ada": 0.5}


def test_many_keys_at_once(database: "Database") -> None:
    people = [version(f"p{i:05}", weight=i / 3000) for i in range(3000)]
    with database.transaction() as connection:
        TrustRepository(connection, PROJECT).append(people)
        weights = voter_weights(connection, PROJECT, [person.user_key for person in people])
    assert weights["p00300"] == pytest.approx(0.1)
    assert len(weights) == 3000

"""The hash chain: whatever is touched is found."""

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ab_testing.ledger import GENESIS, LedgerTampered, canonical_json, hash_of, next_decision, verify_chain
from infra.contracts import Decision


def chain(length: int) -> list[Decision]:
    rows: list[Decision] = []
    for n in range(length):
        rows.append(
            next_decision(
                rows[-1] if rows else None,
                project="p",
                experiment_id="exp-1",
                kind="hold",
                reason=f"reason {n} — ü",
                evidence={"code": "undecided", "e": 1.5 * n, "people": n, "none": None, "list": [1, 2.5]},
                config_hash="c" * 64,
                watermark=1_700_000_000.25 + n,
                decided_at=1_700_000_001.0 + n,
            )
        )
    return rows


def test_an_intact_chain_gives_its_newest_hash() -> None:
    rows = chain(5)
    assert verify_chain(rows) == rows[-1].hash
    assert verify_chain([]) == GENESIS
    assert len({row.decision_id for row in rows}) == 5


def test_the_hash_is_what_the_contract_says() -> None:
    """Computed here with the standard library alone."""
    row = chain(1)[0]
    document = {key: value for key, value in msgspec.to_builtins(row).items() if key != "hash"}
    document |= {"sequence": 1.0}
    document["evidence"] = {"code": "undecided", "e": 0.0, "people": 0.0, "none": None, "list": [1.0, 2.5]}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert row.hash == hashlib.sha256(text.encode()).hexdigest()


CHANGES: list[dict[str, object]] = [
    {"kind": "promote"},
    {"reason": "better"},
    {"evidence": {"code": "undecided"}},
    {"watermark": 1.0},
    {"decided_at": 2.0},
    {"experiment_id": "exp-2"},
    {"config_hash": "d" * 64},
    {"decision_id": "other"},
    {"previous_hash": "0" * 63 + "1"},
    {"hash": "1" * 64},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_a_changed_row_is_found(change: dict[str, object]) -> None:
    rows = chain(4)
    rows[1] = msgspec.structs.replace(rows[1], **change)
    with pytest.raises(LedgerTampered, match="decision 2"):
        verify_chain(rows)


def test_a_changed_row_with_a_new_hash_breaks_the_next() -> None:
    rows = chain(4)
    forged = msgspec.structs.replace(rows[1], reason="better")
    rows[1] = msgspec.structs.replace(forged, hash=hash_of(forged))
    with pytest.raises(LedgerTampered, match="decision 3 does not follow"):
        verify_chain(rows)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_row_is_found(missing: int) -> None:
    rows = chain(4)
    del rows[missing]
    with pytest.raises(LedgerTampered, match="missing"):
        verify_chain(rows)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_a_store_that_returns_whole_ones_as_integers(number: float) -> None:
    other = int(number) if number.is_integer() else number
    assert canonical_json({"x": number}) == canonical_json({"x": other})
    assert json.loads(canonical_json({"x": number}))["x"] == number  # 0.0 == -0.0


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        canonical_json({"x": float("nan")})

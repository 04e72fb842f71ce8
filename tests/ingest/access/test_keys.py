"""Keys: made, verified, rotated, revoked, expired; the store never knows one."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from infra.contracts import ManualClock
from infra.db.tables import api_keys
from infra.runtime import Context
from infra.settings.access import AccessSettings
from ingest.access import service
from ingest.access.keys import ApiKey, InvalidScope, checked_scopes, hash_of, new_secret
from ingest.access.service import InvalidKeyName, KeyNotFound, create_key, list_keys, revoke_key, rotate_key
from ingest.access.verification import InvalidApiKey, KeyRing

if TYPE_CHECKING:
    from infra.db import Database


def verify(ring: KeyRing, secret: str) -> ApiKey:
    return asyncio.run(ring.verify(secret))


def test_the_secret_is_random_and_known_by_its_sha256_only(context: Context) -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    key, secret = create_key(context, "shop", ["infer", "feedback"], actor="test")
    assert secret.startswith("plk-")
    assert len(secret) == 4 + 43, "256 bits in base64url"
    with context.database.reading() as connection:
        row = connection.execute(select(api_keys)).one()
    assert row.secret_hash == hash_of(secret)
    assert secret not in str(row)
    assert list_keys(context) == [key]
    assert hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "FIPS 180-2, B.1"


def test_a_live_key_is_verified_and_everything_else_refused(context: Context, clock: ManualClock) -> None:
    key, secret = create_key(context, "shop", ["infer"], actor="test", lifetime_seconds=100)
    ring = KeyRing(context)
    assert verify(ring, secret).key_id == key.key_id
    for wrong in ("", "plk-", secret[:-1], secret + "x", secret.upper(), "sk-" + secret, "plk-" + "x" * 1000):
        with pytest.raises(InvalidApiKey):
            verify(ring, wrong)
    clock.advance(99)
    assert verify(ring, secret).name == "shop"
    clock.advance(1)
    with pytest.raises(InvalidApiKey, match="expired"):
        verify(ring, secret)


def test_a_revocation_elsewhere_holds_within_the_cache_s_time(context: Context, clock: ManualClock) -> None:
    _, secret = create_key(context, "shop", ["infer"], actor="test")
    ring = KeyRing(context)
    verify(ring, secret)
    revoke_key(context, "shop", actor="test")
    clock.advance(context.settings.access.cache_seconds - 0.1)
    verify(ring, secret)  # still believed
    clock.advance(0.1)
    with pytest.raises(InvalidApiKey, match="revoked"):
        verify(ring, secret)


def test_a_new_key_is_known_although_it_was_tried_before_it_existed(context: Context, clock: ManualClock) -> None:
    _, secret = create_key(context, "shop", ["infer"], actor="test")
    with context.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE api_keys SET project = 'elsewhere'")
    ring = KeyRing(context)
    with pytest.raises(InvalidApiKey, match="does not exist"):
        verify(ring, secret)
    with context.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE api_keys SET project = 'default'")
    clock.advance(context.settings.access.cache_seconds)
    assert verify(ring, secret).name == "shop"


def test_rotation_ends_the_former_key_after_the_grace(context: Context, clock: ManualClock) -> None:
    former, old = create_key(context, "shop", ["read"], actor="test", lifetime_seconds=1000)
    key, new = rotate_key(context, "shop", actor="test", grace_seconds=60)
    assert (key.name, key.scopes, key.expires_at) == (former.name, former.scopes, former.expires_at)
    ring = KeyRing(context)
    assert verify(ring, old).key_id == former.key_id
    assert verify(ring, new).key_id == key.key_id
    with pytest.raises(KeyNotFound, match="2 live keys"):
        rotate_key(context, "shop", actor="test")
    clock.advance(60)
    with pytest.raises(InvalidApiKey, match="revoked"):
        verify(ring, old)
    assert verify(ring, new).key_id == key.key_id


def test_the_cache_serves_known_keys_while_the_store_is_away(
    sqlite_context: Context, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.db import Database, StoreUnavailable

    context = sqlite_context
    _, secret = create_key(context, "shop", ["infer"], actor="test")
    _, other = create_key(context, "till", ["infer"], actor="test")
    ring = KeyRing(context)
    verify(ring, secret)

    def away(self: "Database") -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(Database, "reading", away)
    clock.advance(context.settings.access.stale_seconds - 1)
    assert verify(ring, secret).name == "shop"
    with pytest.raises(StoreUnavailable):
        verify(ring, other)
    clock.advance(1)
    with pytest.raises(StoreUnavailable):
        verify(ring, secret)


def test_the_last_use_is_written_coarsely(context: Context, clock: ManualClock) -> None:
    key, secret = create_key(context, "shop", ["infer"], actor="test")
    ring = KeyRing(context)
    first = clock.now()
    for _ in range(4):
        verify(ring, secret)
        clock.advance(AccessSettings().last_used_resolution_seconds / 3)
    assert next(one.last_used_at for one in list_keys(context)) == pytest.approx(first + 3600)
    assert key.last_used_at is None


def test_a_flood_of_strangers_pushes_no_key_out(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.access.verification.REMEMBERED", 10)
    _, secret = create_key(context, "shop", ["infer"], actor="test")
    ring = KeyRing(context)
    verify(ring, secret)
    for _ in range(30):
        with pytest.raises(InvalidApiKey):
            verify(ring, new_secret())
    assert len(ring._unknown) == 10
    assert hash_of(secret) in ring._known


def test_scopes_and_names_are_checked(context: Context) -> None:
    assert checked_scopes(["read", "read"]) == {"read"}
    for wrong in ([], ["write"], ["read", ""]):
        with pytest.raises(InvalidScope):
            checked_scopes(wrong)
    for name in ("", "x" * 64, "a\nb"):
        with pytest.raises(InvalidKeyName):
            create_key(context, name, ["read"], actor="test")
    admin = ApiKey(key_id="k", name="n", scopes=frozenset({"admin"}), created_at=0.0)
    assert admin.allows("infer")
    assert not ApiKey(key_id="k", name="n", scopes=frozenset({"infer"}), created_at=0.0).allows("read")


def test_every_act_is_in_the_audit_trail(context: Context) -> None:
    _, secret = create_key(context, "shop", ["infer"], actor="ops")
    rotate_key(context, "shop", actor="ops")
    revoke_key(context, "shop", actor="ops")
    trail = service.audit_trail(context)
    assert [entry.action for entry in trail] == ["key.created", "key.rotated", "key.revoked"]
    assert {entry.actor for entry in trail} == {"ops"}
    assert secret not in str(trail)

"""`plaudit keys|erase|export|audit` on a real data folder, and the feedback API with a key of the command line."""

import json
from pathlib import Path

import pytest

from infra.settings import load_settings
from tests.plaudit.test_cli import plaudit


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return {"PLAUDIT_DATA_DIR": str(tmp_path / "data")}


def test_a_key_is_printed_once_listed_rotated_and_revoked(variables: dict[str, str]) -> None:
    made = plaudit("keys", "create", "shop", "--scope", "infer", "--scope", "feedback", "--days", "30", **variables)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("plk-")
    assert "shown once" in made.stderr
    listed = plaudit("keys", "list", **variables)
    assert "shop" in listed.stdout
    assert "feedback, infer" in listed.stdout
    assert secret not in listed.stdout
    turned = plaudit("keys", "rotate", "shop", **variables)
    assert turned.stdout.strip().startswith("plk-")
    assert turned.stdout.strip() != secret
    assert "is revoked" in plaudit("keys", "revoke", "shop", **variables).stdout
    again = plaudit("keys", "revoke", "shop", **variables)
    assert again.returncode == 2
    assert "key_not_found" in again.stderr
    assert plaudit("keys", "create", "x", "--scope", "write", **variables).returncode == 2
    trail = plaudit("audit", "list", **variables)
    for action in ("key.created", "key.rotated", "key.revoked"):
        assert action in trail.stdout
    assert not any(secret.encode() in path.read_bytes() for path in Path(variables["PLAUDIT_DATA_DIR"]).rglob("*.*"))


def test_an_erasure_prints_a_receipt_that_can_be_verified(variables: dict[str, str], tmp_path: Path) -> None:
    receipt = tmp_path / "receipt.json"
    done = plaudit("erase", "--user", "anna@mail.test", "--receipt", str(receipt), **variables)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads(receipt.read_text())
    assert document["rows_deleted"] == {}
    assert "anna" not in done.stdout
    assert plaudit("erase", "--verify", str(receipt), **variables).returncode == 0
    receipt.write_text(receipt.read_text().replace('"rows_deleted": {}', '"rows_deleted": {"pairs": 1.0}'))
    forged = plaudit("erase", "--verify", str(receipt), **variables)
    assert forged.returncode == 2
    assert "invalid_receipt" in forged.stderr
    nobody = plaudit("erase", **variables)
    assert nobody.returncode == 2
    assert "nobody_named" in nobody.stderr
    trail = plaudit("audit", "list", "--action", "person.erased", **variables).stdout
    assert document["erasure_id"] in trail


def test_exports_of_an_empty_store_are_empty_and_whole(variables: dict[str, str], tmp_path: Path) -> None:
    for kind in ("labels", "pairs"):
        for form in ("parquet", "trl-jsonl"):
            out = tmp_path / f"{kind}-{form}"
            done = plaudit("export", kind, "--format", form, "--out", str(out), **variables)
            assert done.returncode == 0, done.stderr
            assert json.loads((out / "manifest.json").read_text())["rows"] == 0
    assert plaudit("export", "labels", "--format", "csv", "--out", str(tmp_path / "x"), **variables).returncode == 2


def test_the_user_secret_is_rotated_and_the_former_kept(variables: dict[str, str]) -> None:
    assert plaudit("keys", "rotate-user-secret", **variables).returncode == 0
    folder = load_settings(overrides={"data_dir": variables["PLAUDIT_DATA_DIR"]}).data_dir
    assert (folder / "user_key_secret.former").stat().st_mode & 0o777 == 0o600
    given = plaudit("keys", "rotate-user-secret", PLAUDIT_USER_KEY_SECRET="given", **variables)
    assert given.returncode == 2
    assert "previous_user_key_secrets" in given.stderr

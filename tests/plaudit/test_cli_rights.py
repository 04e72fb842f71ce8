"""`plaudit keys|erase|export|audit` on a real data folder, and the feedback API with a key of the command line."""

import json
import subprocess
from functools import partial
from pathlib import Path

import httpx

from infra.contracts import user_key_of, uuid7
from infra.settings import load_settings, user_secret
from ingest.erasure.files import files_holding
from tests.plaudit.test_cli import plaudit
from tests.plaudit.test_cli_ingest import liked, services, variables, wait_for

__all__ = ["services", "variables"]


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


def test_an_erasure_beside_running_services_leaves_no_byte_and_harms_nobody(
    services: tuple[str, list["subprocess.Popen[bytes]"]], variables: dict[str, str], tmp_path: Path
) -> None:
    url, _ = services
    answers = {person: say(url, person) for person in ("anna@mail.test", "bert@mail.test")}
    for response_id in answers.values():
        wait_for(partial(liked, url, response_id))
    folder = Path(variables["PLAUDIT_DATA_DIR"])
    settings = load_settings(overrides={"data_dir": str(folder)})
    anna, bert = (user_key_of(person, user_secret(settings)).encode() for person in answers)
    assert files_holding(folder, [anna])
    done = plaudit("erase", "--user", "anna@mail.test", **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_holding(folder, [anna, b"anna@mail.test", b"I am anna"]) == []
    assert files_holding(folder, [bert])
    assert httpx.get(f"{url}/v1/labels/{answers['anna@mail.test']}").status_code == 404
    assert liked(url, answers["bert@mail.test"])
    again = say(url, "anna@mail.test")
    assert wait_for(partial(liked, url, again)), "who comes back is welcome"


def say(url: str, person: str) -> str:
    answer = {"messages": [{"role": "user", "content": f"I am {person}"}], "answers": ["Hello."], "user": person}
    response_id: str = httpx.post(f"{url}/v1/interactions", json=answer).json()["results"][0]["response_id"]
    events = [
        {"event_id": str(uuid7()), "response_id": response_id, "signal": name, "user": person}
        for name in ("shown", "like")
    ]
    assert httpx.post(f"{url}/v1/feedback", json=events).status_code == 202
    return response_id

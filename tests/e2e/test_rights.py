"""`plaudit up` that asks for keys, with OpenAI's client; and an erasure beside it, down to the bytes of its files."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from infra.contracts import user_key_of, uuid7
from infra.settings import user_secret
from ingest.erasure.files import files_holding
from tests.e2e.deployment import Deployment
from tests.models_fixtures import make_tiny_model
from tests.plaudit.test_cli import plaudit

pytestmark = pytest.mark.timeout(400)

ANNA, BERT = "anna@mail.test", "bert@mail.test"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Deployment]:
    deployed = Deployment(tmp_path, make_tiny_model(tmp_path / "model"))
    config = tmp_path / "plaudit.toml"
    config.write_text(config.read_text() + "access = { require_keys = true, cache_seconds = 0.5 }\n")
    deployed.ensure_ready()
    yield deployed
    deployed.close()


def make_key(deployed: Deployment, *scopes: str) -> str:
    wanted = [word for scope in scopes for word in ("--scope", scope)]
    made = plaudit("keys", "create", "-".join(scopes), *wanted, PLAUDIT_CONFIG=config_of(deployed))
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def config_of(deployed: Deployment) -> str:
    return str(deployed.settings.data_dir.parent / "plaudit.toml")


def test_keys_votes_and_an_erasure_on_the_running_system(guarded: Deployment) -> None:
    infer, feedback = make_key(guarded, "infer"), make_key(guarded, "feedback", "read")
    with pytest.raises(openai.AuthenticationError):
        ask(guarded, "plk-wrong", ANNA)
    with pytest.raises(openai.PermissionDeniedError):
        ask(guarded, feedback, ANNA)
    answers = {person: ask(guarded, infer, person) for person in (ANNA, BERT)}
    assert vote(guarded, infer, answers[ANNA], ANNA).status_code == 403
    assert httpx.post(f"{guarded.url}/v1/feedback", json={}).status_code == 401
    for person, response_id in answers.items():
        assert vote(guarded, feedback, response_id, person).status_code == 202
    wait_for(lambda: all(label(guarded, feedback, one).status_code == 200 for one in answers.values()))

    folder, secret = guarded.settings.data_dir, user_secret(guarded.settings)
    anna, bert = (user_key_of(person, secret).encode() for person in (ANNA, BERT))
    assert files_holding(folder, [anna])
    done = plaudit("erase", "--user", ANNA, PLAUDIT_CONFIG=config_of(guarded))
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_holding(folder, [anna, ANNA.encode(), b"I am " + ANNA.encode()]) == []
    assert files_holding(folder, [bert])
    assert label(guarded, feedback, answers[ANNA]).status_code == 404
    assert label(guarded, feedback, answers[BERT]).status_code == 200
    assert ask(guarded, infer, ANNA), "who comes back is welcome"

    assert plaudit("keys", "revoke", "infer", PLAUDIT_CONFIG=config_of(guarded)).returncode == 0
    time.sleep(0.6)  # `access.cache_seconds`
    with pytest.raises(openai.AuthenticationError, match="revoked"):
        ask(guarded, infer, ANNA)


def ask(deployed: Deployment, key: str, person: str) -> str:
    client = openai.OpenAI(base_url=f"{deployed.url}/v1", api_key=key, max_retries=0)
    said = client.chat.completions.create(
        model="plaudit", messages=[{"role": "user", "content": f"I am {person}"}], max_tokens=4, user=person
    )
    return said.id


def vote(deployed: Deployment, key: str, response_id: str, person: str) -> httpx.Response:
    events = [
        {"event_id": str(uuid7()), "response_id": response_id, "signal": name, "user": person}
        for name in ("shown", "like")
    ]
    return httpx.post(f"{deployed.url}/v1/feedback", json=events, headers={"Authorization": f"Bearer {key}"})


def label(deployed: Deployment, key: str, response_id: str) -> httpx.Response:
    return httpx.get(f"{deployed.url}/v1/labels/{response_id}", headers={"Authorization": f"Bearer {key}"})


def wait_for(look: Callable[[], bool], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"nothing after {seconds} s"
        time.sleep(0.1)

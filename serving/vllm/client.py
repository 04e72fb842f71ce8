"""HTTP to one vLLM server. Questions without side effects are repeated after a jittered, growing pause."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple

import httpx
import msgspec

from infra.models.errors import AdapterRefused
from infra.settings.engines import VllmSettings
from serving.engine_errors import EngineFailed
from serving.vllm.errors import NameUnknown, ReplicaFailed, Unreachable
from serving.vllm.wire import DONE, Piece, message_of, read_piece, read_scores, scoring_body

TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class Listed(NamedTuple):
    """A model of the server's list. `root` is the folder its weights were loaded from; `parent` None: a base model."""

    id: str
    root: str
    parent: str | None
    max_model_len: int | None


class Client:
    """One server. Bound to the event loop it is used in; close it at the end."""

    def __init__(self, url: str, settings: VllmSettings) -> None:
        key = settings.api_key.get_secret_value()
        self._settings = settings
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._url = url.rstrip("/")
        timeout = httpx.Timeout(settings.token_timeout_seconds, connect=settings.connect_timeout_seconds)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=4.0)
        self._http = httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=timeout, limits=limits)
        # A connection of its own that is never let go of: if it has to be made anew, the process behind may be another.
        self._watch = httpx.AsyncClient(
            base_url=self._url,
            headers=self._headers,
            timeout=httpx.Timeout(settings.health_timeout_seconds, connect=settings.connect_timeout_seconds),
            limits=httpx.Limits(max_connections=1, keepalive_expiry=None),
        )
        self.connections = 0

    async def close(self) -> None:
        await self._http.aclose()
        await self._watch.aclose()

    async def listed(self) -> list[Listed]:
        """`GET /health`, then `GET /v1/models`, by the connection that is watched. Raises ReplicaFailed; not repeated,
        since it is asked all the time."""
        extensions = {"trace": self._connected}
        try:
            health = await self._watch.get("/health", extensions=extensions)
            if health.status_code != 200:
                raise ReplicaFailed(f"{self._url}/health answers {health.status_code}")
            answer = await self._watch.get("/v1/models", extensions=extensions)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._url} does not answer ({type(error).__name__}: {error})") from error
        if answer.status_code != 200:
            raise ReplicaFailed(f"{self._url}/v1/models answers {answer.status_code}: {message_of(answer.content)}")
        try:
            return [
                Listed(str(card["id"]), str(card.get("root") or ""), card.get("parent"), card.get("max_model_len"))
                for card in msgspec.json.decode(answer.content)["data"]
            ]
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            raise ReplicaFailed(f"{self._url}/v1/models is not as OpenAI's ({error})") from error

    async def load(self, name: str, path: str) -> None:
        """`POST /v1/load_lora_adapter`. Raises AdapterRefused when the server says that it will not have it, and
        ReplicaFailed when it cannot now. Not repeated here: whether it was loaded is seen in the list."""
        body = {"lora_name": name, "lora_path": path}
        answer = await self._post("/v1/load_lora_adapter", body, self._settings.load_timeout_seconds)
        if answer.status_code == 200:
            return
        said = message_of(answer.content)
        if answer.status_code == 404 and "detail" in said:
            raise ReplicaFailed(
                f"{self._url} has no way to load adapters: start it with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
            )
        if answer.status_code in (400, 404, 422):
            code = "adapter_missing" if answer.status_code == 404 else "adapter_unsupported"
            raise AdapterRefused(f"{self._url} does not load {name} from {path}: {said}", code=code)
        raise ReplicaFailed(f"{self._url} could not load {name} ({answer.status_code}): {said}")

    async def unload(self, name: str) -> None:
        """`POST /v1/unload_lora_adapter`; one it does not know is unloaded already. Raises ReplicaFailed."""
        answer = await self._post("/v1/unload_lora_adapter", {"lora_name": name}, self._settings.load_timeout_seconds)
        if answer.status_code not in (200, 404):
            said = message_of(answer.content)
            raise ReplicaFailed(f"{self._url} could not unload {name} ({answer.status_code}): {said}")

    async def score(self, model: str, tokens: Sequence[int], begin: int) -> list[float]:
        """Log-probabilities of `tokens[begin:]`, as the model itself gives them. Repeated when it fails."""
        return read_scores(await self.ask(scoring_body(tokens, model)), tokens, begin)

    async def ask(self, body: dict[str, Any]) -> bytes:
        """`POST /v1/completions` as a whole, repeated while the server cannot. Raises ReplicaFailed, NameUnknown,
        EngineFailed."""
        for attempt in range(self._settings.attempts):
            try:
                answer = await self._post("/v1/completions", body, self._settings.token_timeout_seconds)
                _check(answer.status_code, answer.content, self._url)
                return answer.content
            except ReplicaFailed:
                if attempt == self._settings.attempts - 1:
                    raise
            await self.pause(attempt)
        raise AssertionError("unreachable")

    async def stream(self, body: dict[str, Any]) -> AsyncGenerator[Piece, None]:
        """`POST /v1/completions` as server-sent events. Whoever closes this iterator closes the connection, by which
        the server stops computing. Raises ReplicaFailed, NameUnknown, EngineFailed."""
        try:
            async with self._http.stream("POST", "/v1/completions", json=body) as answer:
                if answer.status_code != 200:
                    _check(answer.status_code, await answer.aread(), self._url)
                async for line in answer.aiter_lines():
                    if not line.startswith("data:"):
                        continue
                    document = line[5:].strip().encode()
                    if document == DONE:
                        return
                    yield read_piece(document)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._url} broke off ({type(error).__name__}: {error})") from error

    async def pause(self, attempt: int) -> None:
        """Wait after the `attempt`-th try, counted from 0: half of the time is drawn at random."""
        mean = self._settings.backoff_seconds * 2**attempt
        await asyncio.sleep(mean * random.uniform(0.5, 1.5))

    async def _post(self, path: str, body: dict[str, Any], seconds: float) -> httpx.Response:
        try:
            limits = httpx.Timeout(seconds, connect=self._settings.connect_timeout_seconds)
            return await self._http.post(path, json=body, timeout=limits)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self._url}{path} failed ({type(error).__name__}: {error})") from error

    async def _connected(self, event: str, _info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.complete":
            self.connections += 1


def _check(status: int, content: bytes, url: str) -> None:
    if status == 200:
        return
    said = f"{url} answers {status}: {message_of(content)}"
    if status == 404:
        raise NameUnknown(said)
    raise ReplicaFailed(said) if status in TRY_AGAIN else EngineFailed(said)

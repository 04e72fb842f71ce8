"""One vLLM server as a replica: what it has loaded under which names, what it takes traffic for, whether it is well.

A server forgets its adapters when it restarts and may come up with others under their names. So a name there is
`name@version+digest`, the digest being that of the files, and never used twice for different weights nor for a second
loading; and whenever the server was away, lacks something, or the connection that is watched had to be made anew,
nothing is proven any more: the `incarnation` grows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from infra.contracts import BASE_ADAPTER, AdapterRef, Fingerprint, SamplingParameters
from infra.metrics import catalogue as metrics
from infra.models.errors import AdapterRefused
from infra.models.fingerprint import fingerprint_of, probe_tokens
from infra.models.hashes import hash_folder
from infra.models.loading import LoadedModel
from infra.settings.engines import VllmSettings
from serving.engine_errors import AdapterNotLoaded, EngineFailed
from serving.proving import digest_of
from serving.vllm.background import Background
from serving.vllm.client import Client, Listed
from serving.vllm.errors import ReplicaFailed
from serving.vllm.wire import LogprobsMode, completion_body, read_piece

log = structlog.get_logger()
_MODE_PROBES = 3
_MODE_TOKENS = 4
SeenAt = Callable[[Path], str]
"""Where the server sees a folder of this machine."""


class VllmReplica:
    """A `Replica`. Its methods for adapters block and are called by the keeper; what concerns traffic belongs to the
    loop's thread."""

    def __init__(
        self,
        name: str,
        url: str,
        settings: VllmSettings,
        base: LoadedModel,
        background: Background,
        seen_at: SeenAt,
        changed: Callable[[], None],
    ) -> None:
        self.name = name
        self.client = Client(url, settings)
        self.mode: LogprobsMode | None = None
        self.flying = 0
        self.failures = 0
        self.last_turn = 0
        self.max_model_len: int | None = None
        self._settings = settings
        self._base = base
        self._background = background
        self._seen_at = seen_at
        self._changed = changed
        self._well = False
        self._incarnation = 0
        self._base_name = settings.model
        self._names: dict[AdapterRef, str] = {}
        self._used: set[str] = set()
        self._distrusted: set[str] = set()
        self._opened: frozenset[AdapterRef] = frozenset()

    @property
    def incarnation(self) -> int:
        return self._incarnation

    def well(self) -> bool:
        return self._well

    def opened(self) -> frozenset[AdapterRef]:
        return self._opened if self._well and self.mode is not None else frozenset()

    def second_chance(self) -> bool:
        return True

    def loaded(self) -> frozenset[AdapterRef]:
        return frozenset({BASE_ADAPTER, *self._names})

    def load_adapter(self, ref: AdapterRef, path: str) -> None:
        self._background.run(self._load(ref, Path(path)))

    def unload_adapter(self, ref: AdapterRef) -> None:
        """What cannot be unloaded now is only closed; its name is never used again."""
        self.close(ref)
        name = self._names.pop(ref, None)
        if name is None:
            return
        self._distrusted.add(name)
        try:
            self._background.run(self.client.unload(name))
        except ReplicaFailed as error:
            log.warning("adapter_left_behind", replica=self.name, adapter=name, reason=error.message)

    def fingerprint(self, ref: AdapterRef) -> Fingerprint:
        return self._background.run(self._measure(self.name_of(ref)))

    def open(self, ref: AdapterRef, incarnation: int) -> bool:
        return self._background.run(self._open(ref, incarnation))

    def close(self, ref: AdapterRef) -> None:
        self._background.run(self._close(ref))

    def name_of(self, ref: AdapterRef) -> str:
        """Its name there. Raises AdapterNotLoaded."""
        name = self._base_name if ref == BASE_ADAPTER else self._names.get(ref)
        if name is None:
            raise AdapterNotLoaded(f"adapter {ref!r} is not loaded on {self.name}", field="model")
        return name

    def lost(self, reason: str, *, away: bool = False) -> None:
        """Whatever was proven here counts no longer; `away`: it does not answer either."""
        if away and not self._well and not self._opened:
            return
        self._well = self._well and not away
        if away:
            self.mode = None
        self._incarnation += 1
        self._opened = frozenset()
        self._names = {}
        metrics.REPLICA_UP.labels(replica=self.name).set(self._well)
        log.warning("replica_suspected", replica=self.name, reason=reason)
        self._changed()

    async def watch(self) -> None:
        """Ask for its health, for ever."""
        while True:
            try:
                await self.look()
            except Exception:  # the watch must not end
                log.exception("replica_watch_failed", replica=self.name)
            await asyncio.sleep(self._settings.health_every_seconds)

    async def look(self) -> None:
        """Once: is it well, is it the same, has it what it should have?"""
        before = self.client.connections
        try:
            models = await self.client.listed()
            if self._well and self.client.connections > before:
                self.mode = None
                self.lost("it closed the connection that is watched: it may have been started anew")
            self._take_base(models)
            if self.mode is None:
                self.mode = await self._measured_mode()
        except EngineFailed as error:
            self.lost(error.message, away=True)
            return
        if not self._well:
            self._incarnation += 1  # what it had loaded before it was away is unknown
            self.failures, self._well = 0, True
            log.info("replica_well", replica=self.name, base=self._base_name, logprobs=self.mode)
            return
        listed = {model.id for model in models}
        missing = sorted(name for name in self._names.values() if name not in listed)
        if missing:
            self.lost(f"it no longer lists {', '.join(missing)}")

    def _take_base(self, models: list[Listed]) -> None:
        bases = [model for model in models if model.parent is None]
        wanted = self._settings.model or (bases[0].id if bases else "")
        if wanted not in {model.id for model in bases}:
            names = ", ".join(model.id for model in bases) or "none"
            raise ReplicaFailed(
                f"{self.name} serves no base model {wanted!r} but {names}: set serving.engine.vllm.model"
            )
        self._base_name = wanted
        self.max_model_len = next(model.max_model_len for model in bases if model.id == wanted)

    async def _open(self, ref: AdapterRef, incarnation: int) -> bool:
        if incarnation != self._incarnation:
            return False
        self._opened |= {ref}
        return True

    async def _close(self, ref: AdapterRef) -> None:
        self._opened -= {ref}

    async def _load(self, ref: AdapterRef, folder: Path) -> None:
        path = self._seen_at(folder)
        digest = digest_of(await asyncio.to_thread(hash_folder, folder))[:8]
        there = {model.id: model.root for model in await self.client.listed()}
        first = f"{ref}+{digest}"
        if there.get(first) == path and first not in self._distrusted:
            self._used.add(first)
            self._names[ref] = first  # loaded by another gateway, or earlier by this one: the proof will tell
            return
        name = next(
            name
            for name in (first, *(f"{first}.{number}" for number in range(2, 1_000_000)))
            if name not in self._used and name not in there
        )
        self._used.add(name)
        incarnation = self._incarnation
        await self.client.load(name, path)
        if name not in {model.id for model in await self.client.listed()}:
            raise AdapterRefused(
                f"{self.name} said that it had loaded {name} from {path} and does not list it: can it see that folder? "
                "See serving.engine.vllm.adapters_seen_at",
                code="adapter_missing",
            )
        if incarnation == self._incarnation:
            self._names[ref] = name

    async def _measure(self, name: str) -> Fingerprint:
        """Each probe alone, again, and all at once, so that the noise is that of this server with what it does now."""
        prompts, completions = probe_tokens(self._base)
        probes = list(zip(prompts, completions, strict=True))

        def one(prompt: list[int], completion: list[int]) -> Awaitable[list[float]]:
            return self.client.score(name, [*prompt, *completion], len(prompt))

        alone = [await one(*probe) for probe in probes]
        again = [await one(*probe) for probe in probes]
        together = await asyncio.gather(*(one(*probe) for probe in probes))
        return fingerprint_of(prompts, completions, alone, again, together)

    async def _measured_mode(self) -> LogprobsMode:
        """Which log-probabilities the server sends, found out: a draw among one token has the probability 1 after
        truncation, whatever the model thinks of it."""
        sampling = SamplingParameters(temperature=1.0, top_k=1, max_tokens=_MODE_TOKENS, seed=0)
        prompts, _ = probe_tokens(self._base)
        total = 0.0
        for prompt in prompts[:_MODE_PROBES]:
            body = completion_body(prompt, sampling, self._base_name, self._base.end_ids, stream=False)
            total += sum(read_piece(await self.client.ask(body)).logprobs)
        return "processed" if total > -1e-3 else "raw"


def numbered(urls: tuple[str, ...]) -> list[tuple[str, str]]:
    """(name, url): `vllm-0`, `vllm-1` and so on, in the order of the settings."""
    return [(f"vllm-{place}", url) for place, url in enumerate(urls)]

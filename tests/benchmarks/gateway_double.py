"""An engine that answers at once, the gateway on it in a process of its own, and what that is held against.

The double stands behind the port: a thread of its own takes what is submitted, asks who answers, calls `on_token` for
every token and resolves the futures, as an engine does; it computes nothing. Everything else is the real gateway.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from typing import Any, cast

import psutil
from starlette.types import ASGIApp, Receive, Scope, Send

import serving.service
from infra.contracts import Interaction
from infra.models.loading import LoadedModel
from infra.models.port import GenerationRequest, GenerationResult
from infra.settings import Settings
from ingest.codec import INTERACTION_CODEC
from serving.connections import Http11Protocol
from serving.engines import make_engine
from serving.process import ease_process
from serving.recording import Recorder
from tests.benchmarks.gateway_client import stay_on
from tests.benchmarks.ingest_processes import cpu_seconds

ANSWER_TOKENS = 32
_BARE_BODY = b"{%s}" % (b" " * 700)
_Item = tuple[Sequence[GenerationRequest], list["Future[GenerationResult]"], Callable[[], str] | None]


class InstantEngine:
    """Answers every request with the same tokens at once; adapters and their proofs are the real engine's."""

    def __init__(self, loaded: LoadedModel, settings: Settings) -> None:
        self.base = loaded
        self._inner = make_engine(loaded, settings)
        text = "Keep your room dark and cool, and put your phone away. " * ANSWER_TOKENS
        tokens = tuple(loaded.tokenizer(text, add_special_tokens=False).input_ids[:ANSWER_TOKENS])
        values = tuple(-1.0 - place / 64 for place in range(len(tokens)))
        self._result = GenerationResult(tokens, values, values, "stop")
        self._items: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._run, name="instant-engine", daemon=True)
        self._worker.start()

    def submit(
        self, requests: Sequence[GenerationRequest], again: Callable[[], str] | None = None
    ) -> "list[Future[GenerationResult]]":
        """As the port says."""
        futures: list[Future[GenerationResult]] = [Future() for _ in requests]
        self._items.put((requests, futures, again))
        return futures

    def close(self) -> None:
        """As the port says."""
        self._items.put(None)
        self._worker.join()
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _run(self) -> None:
        result = self._result
        steps = list(zip(result.token_ids, result.logprobs_raw, result.logprobs_sampled, strict=True))
        while (item := self._items.get()) is not None:
            requests, futures, again = item
            if again is not None:
                again()
            for request, future in zip(requests, futures, strict=True):
                if request.on_token is not None:
                    for token, raw, sampled in steps:
                        request.on_token(token, raw, sampled)
                future.set_result(result)


def engine_of(loaded: LoadedModel, settings: Settings) -> Any:
    """What `build_gateway` calls to get its engine."""
    return cast(Any, InstantEngine(loaded, settings))


class ForgetfulRecorder(Recorder):
    """Encodes interactions and keeps none: what is left of the gateway is what it takes without durable answers."""

    async def record(self, interaction: Interaction) -> bool:
        """True at once."""
        INTERACTION_CODEC.encode([interaction])
        return True


def serve(settings: Settings, port: int, pipe: Connection, core: int | None = None, recording: bool = True) -> None:
    """The gateway as `plaudit serve` runs it, on the double. It answers `cpu` with its CPU seconds and those of the
    processes it has started, `rss` with the memory of each of the two."""
    from infra.runtime import configure_logging, open_context
    from serving.app import build_gateway, threads_work_in

    stay_on(core)
    if not recording:
        serving.service.Recorder = ForgetfulRecorder  # type: ignore[misc]  # in this process, which does nothing else
    configure_logging(settings, process="bench")
    context = open_context(settings)
    app = build_gateway(context, engine_of=engine_of)
    threads_work = recording and threads_work_in(settings)
    _run(app, port, settings.serving.keep_alive_seconds, pipe, threads_work)


def serve_bare(port: int, pipe: Connection, core: int | None = None) -> None:
    """The same server around an application that reads the request and answers at once with as many bytes: what load,
    HTTP, sockets and machine take without any gateway."""
    stay_on(core)
    _run(_bare, port, 75, pipe)


async def _bare(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body", False):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_BARE_BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BARE_BODY})


def _run(app: ASGIApp, port: int, keep_alive_seconds: int, pipe: Connection, threads_work: bool = False) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        port=port,
        loop="uvloop",
        http=Http11Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=2048,
        timeout_keep_alive=keep_alive_seconds,
        lifespan="auto",
    )
    ease_process(threads_work=threads_work)
    threading.Thread(target=uvicorn.Server(config).run, name="server", daemon=True).start()
    while (wanted := pipe.recv()) != "end":
        children = psutil.Process().children(recursive=True)
        if wanted == "cpu":
            pipe.send((cpu_seconds(), sum(sum(one.cpu_times()[:2]) for one in children)))
        else:
            pipe.send((psutil.Process().memory_info().rss, sum(one.memory_info().rss for one in children)))

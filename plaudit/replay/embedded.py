"""The feedback API in this process, on a free port of the loopback interface, with its consumer."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn

from infra.contracts import PlauditError
from infra.runtime import Context
from ingest.api import build_app

_START_SECONDS = 30.0


class EmbeddedApiFailed(PlauditError):
    """The API did not come up in this process."""

    code = "embedded_api_failed"


@contextlib.contextmanager
def embedded_api(context: Context) -> Iterator[str]:
    """The URL of a feedback API over `context`, served until the block ends."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(context), log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="replay-api", daemon=True)
    thread.start()
    try:
        _wait_started(server, thread)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)
        listener.close()


def _wait_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise EmbeddedApiFailed("the feedback API did not start in this process; try `plaudit doctor`")
        time.sleep(0.02)

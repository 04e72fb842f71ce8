"""`python -m infra.runtime.spooler`: keeps the spool of a gateway that started it; standard input is a socket to it."""

import pickle
import signal
import socket
import sys

import structlog

from infra.contracts import SystemClock
from infra.event_log.factory import open_inner_log, spool_folder
from infra.event_log.spooling.apart import Apart
from infra.event_log.spooling.lane_wire import PREAMBLE
from infra.runtime.collector import ease_collector
from infra.runtime.logs import configure_logging
from infra.settings import Settings

SWITCH_SECONDS = 0.0005
"""The thread that flushes shall not wait long for the one that hands on."""

log = structlog.get_logger()


def main() -> int:
    """Ends with the gateway alone: signals to a group of processes are for the gateway, which may still answer."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=0)
    settings = _settings(connection)
    configure_logging(settings, process="spool")
    ease_collector()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        apart = Apart(
            connection, spool_folder(settings), lambda: open_inner_log(settings, SystemClock()), settings.event_log
        )
        try:
            apart.serve()
        except ConnectionError:
            pass  # the gateway is gone
        finally:
            apart.close()
    except OSError as error:
        log.error("event_log_spool_failed", error=str(error))
        return 1
    return 0


def _settings(connection: socket.socket) -> Settings:
    (length,) = PREAMBLE.unpack(_exactly(connection, PREAMBLE.size))
    settings = pickle.loads(_exactly(connection, length))  # noqa: S301  # from the process that started this one
    assert isinstance(settings, Settings)
    return settings


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        data = connection.recv(count - len(received))
        if not data:
            sys.exit(0)  # the gateway is gone already
        received += data
    return received


if __name__ == "__main__":
    sys.exit(main())

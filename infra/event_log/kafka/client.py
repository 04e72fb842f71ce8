"""What the producer, the consumers and the admin client share: options, errors and log lines."""

import importlib
import logging
from collections.abc import Callable
from typing import Any

import structlog
from kafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

from infra.contracts.errors import PlauditError
from infra.event_log.partitioning import InvalidRecord
from infra.event_log.port import EventLogUnavailable
from infra.settings.infrastructure import EventLogSettings

BATCH_OVERHEAD_BYTES = 64 * 1024
"""Room for keys, headers and framing above a record's own bytes."""


class MissingLibrary(PlauditError):
    """Kafka would work without this library, but far too slowly, or not with our compression."""

    code = "missing_library"
    status = 500


def require_fast_codecs() -> None:
    """Raise MissingLibrary unless `crc32c` and `lz4` work: without the first kafka-python is 13-27 times slower."""
    for module, package in (("crc32c", "crc32c"), ("lz4.frame", "lz4")):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise MissingLibrary(f"Kafka needs the library {package!r}: pip install {package}  ({error})") from error


def client_options(settings: EventLogSettings) -> dict[str, Any]:
    """Options that every Kafka client of ours takes."""
    request_ms = int(settings.append_timeout_seconds * 500)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": "plaudit",
        "security_protocol": settings.security_protocol,
        # Half of an append's patience: there is time for a second try within it.
        "request_timeout_ms": request_ms,
        "bootstrap_timeout_ms": request_ms,
        "reconnect_backoff_max_ms": 1000,
    }
    if settings.ssl_ca_file:
        options["ssl_cafile"] = settings.ssl_ca_file
    if settings.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return options


def connected(kind: Callable[..., Any], **options: Any) -> Any:
    """Make a client of the library that leaves no thread and no socket behind if its brokers do not answer.

    kafka-python 3.0.12 forgets its I/O thread when a constructor fails, which during an outage happens every few
    seconds, for as long as it lasts.
    """
    made: list[KafkaNetClient] = []

    def remembered(**configs: Any) -> KafkaNetClient:
        made.append(KafkaNetClient(**configs))
        return made[-1]

    try:
        return kind(kafka_client=remembered, **options)
    except BaseException:
        for client in made:
            client.close()
        raise


def close_sockets_of_failed_connections() -> None:
    """Mend kafka-python 3.0.12, which leaves the socket of a refused connection to the garbage collector."""
    original = KafkaNetSocket.sock_connect
    if getattr(original, "closes_its_socket", False):
        return

    async def sock_connect(self: Any, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        try:
            return await original(self, net, sock, sockaddr, timeout_at=timeout_at)
        except Exception:
            sock.close()
            raise

    sock_connect.closes_its_socket = True  # type: ignore[attr-defined]
    KafkaNetSocket.sock_connect = sock_connect


def translated(error: Exception, doing: str) -> PlauditError:
    """The error a caller sees for one of the library's."""
    if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
        return InvalidRecord(
            f"{doing}: Kafka refuses a record of this size; send fewer events in one record, or raise the topic's "
            "max.message.bytes with event_log.max_record_bytes",
            status=413,
        )
    detail = str(error) if isinstance(error, KafkaError) else f"{type(error).__name__}: {error}"
    return EventLogUnavailable(f"{doing}: {detail}; try again later")


class _IntoStructlog(logging.Handler):
    """Hands the library's warnings to our log, so that there is one log in one format."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._log = structlog.get_logger("infra.event_log.kafka")

    def emit(self, record: logging.LogRecord) -> None:
        # Nothing the library logs is more than a warning to us: what fails, fails an append or a poll by its error.
        self._log.warning("kafka_client", source=record.name, level_name=record.levelname, text=record.getMessage())


def bridge_logging() -> None:
    """Send the library's warnings to structlog, once per process, and drop the rest."""
    logger = logging.getLogger("kafka")
    if not any(isinstance(handler, _IntoStructlog) for handler in logger.handlers):
        logger.addHandler(_IntoStructlog())
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        # It warns of every 0.1 s a busy machine takes from it.
        logging.getLogger("kafka.net.selector").setLevel(logging.ERROR)

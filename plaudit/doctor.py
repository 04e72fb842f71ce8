"""Is everything in place to run Plaudit here? One finding a subject, each failure with its remedy.

A check only looks: it makes no store, log or registry. What the embedded system makes by itself at its first start is a
note, not a failure.
"""

import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from infra.contracts import PlauditError, SystemClock
from infra.settings import Settings

Status = Literal["ok", "note", "fail"]

_GIB = 1024**3
_CRC32C_CHECK = 0xE3069283
"""CRC-32C of `123456789`, the check value of RFC 3720's polynomial."""
MIN_DISK_BYTES = 3 * _GIB
MIN_MEMORY_BYTES = 8 * _GIB


@dataclass(frozen=True)
class Finding:
    """One line of the report. `remedy` is empty where there is nothing to mend; `setting` is the one it is about, with
    the value it has here (never a secret's)."""

    subject: str
    status: Status
    detail: str
    remedy: str = ""
    setting: str = ""
    value: str = ""


Checks = Sequence[tuple[str, Callable[[Settings], Finding]]]


def examine(settings: Settings, more: Checks = ()) -> Iterator[Finding]:
    """All findings, in the order a person would mend them, then those of `more` checks. A check that breaks is a
    failure, never a traceback."""
    for subject, check in (*CHECKS, *more):
        try:
            yield check(settings)
        except PlauditError as error:
            yield Finding(subject, "fail", error.message, "see the message")
        except Exception as error:
            detail = f"the check broke: {type(error).__name__}: {error}"
            yield Finding(subject, "fail", detail, "mend what the message names, then run `plaudit doctor` again")


def check_python(settings: Settings) -> Finding:
    """A Python that this distribution says it runs on."""
    from packaging.specifiers import SpecifierSet

    version = ".".join(map(str, sys.version_info[:3]))
    allowed = metadata.metadata("plaudit")["Requires-Python"]
    if not SpecifierSet(allowed).contains(version, prereleases=True):
        return Finding("python", "fail", f"{version} is not {allowed}", "run `make setup PYTHON=/path/to/another`")
    return Finding("python", "ok", version)


def check_packages(settings: Settings) -> Finding:
    """Every requirement of this distribution, at a version it allows."""
    problems = unmet(metadata.requires("plaudit") or [])
    if problems:
        return Finding("packages", "fail", "; ".join(problems), "run `make setup`, or `python -m pip install -e .`")
    return Finding("packages", "ok", f"plaudit {metadata.version('plaudit')} and all it requires")


def unmet(requirements: list[str]) -> list[str]:
    """Which requirement strings (PEP 508) are not met in this environment, and how."""
    from packaging.requirements import Requirement

    problems = []
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement.name} {version} is not {requirement.specifier}")
    return problems


def check_crc32c(settings: Settings) -> Finding:
    """The C implementation of CRC-32C: without it Kafka batches cost 13-27 times more."""
    if importlib.util.find_spec("crc32c") is None:
        return Finding("crc32c", "fail", "not installed", "run `python -m pip install crc32c`")
    import crc32c

    if crc32c.crc32c(b"123456789") != _CRC32C_CHECK:
        return Finding("crc32c", "fail", "computes wrong sums", "run `python -m pip install --force-reinstall crc32c`")
    return Finding("crc32c", "ok", "present and right")


def check_folders(settings: Settings) -> Finding:
    """The data folder, or the nearest folder above it that exists, can be written."""
    from infra.runtime.context import UNFINISHED_RESTORE

    folder = existing_ancestor(settings.data_dir)
    if (settings.data_dir / UNFINISHED_RESTORE).exists():
        detail = f"a restore into {settings.data_dir} was begun and has not ended"
        return Finding("folders", "fail", detail, "run `plaudit restore` again")
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("folders", "fail", f"{folder} is not writable", "set data_dir, or mend the folder's owner")
    return Finding("folders", "ok", f"{settings.data_dir.absolute()} is writable")


def check_disk(settings: Settings) -> Finding:
    """Room for the store, adapters and reward models."""
    free = shutil.disk_usage(existing_ancestor(settings.data_dir)).free
    detail = f"{free / _GIB:.1f} GiB free"
    if free < MIN_DISK_BYTES:
        return Finding("disk", "fail", detail, f"free {MIN_DISK_BYTES / _GIB:.0f} GiB, or move data_dir")
    return Finding("disk", "ok", detail)


def check_memory(settings: Settings) -> Finding:
    """Memory for the gateway and one training child with the default model."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    detail = f"{total / _GIB:.1f} GiB in all"
    if total < MIN_MEMORY_BYTES:
        remedy = "set a smaller model or smaller training batches; training may be killed for memory"
        return Finding("memory", "note", detail, remedy)
    return Finding("memory", "ok", detail)


def check_database(settings: Settings) -> Finding:
    """The store answers and has the schema of this version."""
    from infra.db import Database, current_revision, newest_revision

    url = settings.store_url
    if _missing_file(url):
        return Finding("store", "note", "not made yet", "`plaudit up` makes it, or run `plaudit migrate`")
    database = Database.open(url)
    try:
        if (problem := database.healthy()) is not None:
            return Finding("store", "fail", problem, "check store.url and that the server runs")
    finally:
        database.close()
    current, newest = current_revision(url), newest_revision()
    if current != newest:
        return Finding("store", "fail", f"at revision {current}, this version needs {newest}", "run `plaudit migrate`")
    return Finding("store", "ok", f"{database.safe_url} at revision {current}")


def check_event_log(settings: Settings) -> Finding:
    """The embedded log's file, or the Kafka brokers, answer."""
    from infra.event_log import open_event_log

    if settings.event_log.kind == "embedded" and not (settings.data_dir / "log.sqlite3").exists():
        return Finding("event log", "note", "not made yet", "`plaudit up` makes it")
    log = open_event_log(settings, SystemClock())
    try:
        problem = log.healthy()
    finally:
        log.close()
    if problem is not None:
        remedy = "check event_log.kind and event_log.bootstrap_servers, and that the brokers run"
        return Finding("event log", "fail", problem, remedy)
    return Finding("event log", "ok", settings.event_log.kind)


def check_registry(settings: Settings) -> Finding:
    """MLflow answers. Nothing the loop decides on depends on it."""
    from infra.registry import Registry

    registry = Registry.open(settings)
    if not registry.exists():
        return Finding("registry", "note", "not made yet", "the first training run makes it")
    try:
        if (problem := registry.healthy()) is not None:
            return Finding("registry", "fail", problem, "check registry.tracking_uri, or move the damaged file away")
    finally:
        registry.close()
    return Finding("registry", "ok", registry.tracking_uri)


def check_model(settings: Settings) -> Finding:
    """The base model is there and is the known one."""
    from infra.models.fetch import SMOLLM2, verified_gguf

    base = settings.model.base
    if base == SMOLLM2:
        return Finding("model", "ok", f"{verified_gguf().name}, checksum right")
    if (Path(base).expanduser() / "config.json").is_file():
        return Finding("model", "ok", f"folder {base}")
    return Finding("model", "note", f"{base} is taken from the model hub", "run `plaudit models fetch` once, online")


def check_ports(settings: Settings) -> Finding:
    """The gateway's port is free, or Plaudit itself answers on it."""
    host, port = settings.serving.host, settings.serving.port
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if _plaudit_answers(host, port):
                return Finding("ports", "ok", f"Plaudit itself answers on {host}:{port}")
            remedy = "stop what listens there, or set serving.port"
            return Finding("ports", "fail", f"{host}:{port}: {error.strerror}", remedy)
    return Finding("ports", "ok", f"{host}:{port} is free")


def _plaudit_answers(host: str, port: int) -> bool:
    """Whether what listens there is a process of ours."""
    import httpx

    reached = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 -- compared, not bound
    try:
        answer = httpx.get(f"http://[{reached}]:{port}/livez" if ":" in reached else f"http://{reached}:{port}/livez",
                           timeout=3.0, trust_env=False)  # fmt: skip
        return bool(answer.json() == {"status": "alive"})
    except (httpx.HTTPError, ValueError):
        return False


def check_access(settings: Settings) -> Finding:
    """Whoever reaches the gateway from another machine needs a key."""
    host = settings.serving.host
    if settings.access.require_keys:
        return Finding("access", "ok", "API keys are required")
    if host in ("127.0.0.1", "::1", "localhost"):
        return Finding("access", "ok", f"no API keys, and only this machine reaches {host}")
    remedy = "set access.require_keys, or put a proxy that authenticates callers before it"
    return Finding("access", "note", f"anybody who reaches {host} may ask, vote and read labels", remedy)


def check_erasures(settings: Settings) -> Finding:
    """The store knows every erasure the log knows: one restored from an older backup does not, and holds people again
    who were erased."""
    from infra.db import Database, current_revision, newest_revision
    from infra.event_log import open_event_log
    from ingest.erasure.pending import unapplied

    embedded = settings.event_log.kind == "embedded"
    if _missing_file(settings.store_url) or (embedded and not (settings.data_dir / "log.sqlite3").exists()):
        return Finding("erasures", "ok", "nothing to erase yet")
    if current_revision(settings.store_url) != newest_revision():
        return Finding("erasures", "note", "cannot be told before the store is migrated", "run `plaudit migrate`")
    log, database = open_event_log(settings, SystemClock()), Database.open(settings.store_url)
    try:
        waiting = unapplied(settings, database, log)
    finally:
        log.close()
        database.close()
    if waiting:
        detail = f"{waiting} erasures on the log are not applied in this store: it holds people who were erased"
        return Finding(
            "erasures", "fail", detail, "run `plaudit up` or `plaudit ingest consume` before serving from it"
        )
    return Finding("erasures", "ok", "the store knows every erasure the log knows")


def existing_ancestor(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def _missing_file(url: str) -> bool:
    """Whether a URL names a SQLite file that is not there."""
    return url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists()


CHECKS: Checks = (
    ("python", check_python),
    ("packages", check_packages),
    ("crc32c", check_crc32c),
    ("folders", check_folders),
    ("disk", check_disk),
    ("memory", check_memory),
    ("store", check_database),
    ("event log", check_event_log),
    ("registry", check_registry),
    ("model", check_model),
    ("ports", check_ports),
    ("access", check_access),
    ("erasures", check_erasures),
)

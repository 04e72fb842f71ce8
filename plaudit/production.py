"""`plaudit doctor --production`: settings that are right on one machine and wrong where others depend on it.

A failure is what loses data, lets strangers in, or makes the same person two; a note is what to decide with open eyes.
"""

import shutil
from functools import partial
from urllib.parse import urlsplit

from infra.settings import Settings
from plaudit.doctor import Checks, Finding, existing_ancestor
from plaudit.production_parts import check_clock, check_replicas, check_topics

LOOPBACK = ("127.0.0.1", "::1", "localhost")
WEAK = frozenset({"", "plaudit", "postgres", "password", "secret", "changeme", "change-me", "admin", "test", "hunter2"})
MIN_SECRET_CHARACTERS = 32
_GIB = 1024**3
SPARE_BYTES = 10 * _GIB
"""Beside a full spool: room for the log of a night, a checkpoint and a backup of small things."""


def production_checks(public_url: str = "") -> Checks:
    """All of them. `public_url`: where callers reach the gateway; "" where it is not known."""
    return (
        ("user secret", check_user_secret),
        ("store password", check_store_password),
        ("log password", check_log_password),
        ("keys", check_keys),
        ("cross-origin calls", check_cors),
        ("TLS", partial(check_tls, public_url=public_url)),
        ("console", check_console),
        ("engine", check_engine),
        ("store", check_store_kind),
        ("clock", check_clock),
        ("replicas", check_replicas),
        ("replication", check_replication),
        ("topics", check_topics),
        ("retention", check_retention),
        ("spool", check_spool),
        ("logging", check_logging),
    )


def check_user_secret(settings: Settings) -> Finding:
    """One secret for all machines, which nobody guesses."""
    subject, name = "user secret", "user_key_secret"
    given = settings.user_key_secret.get_secret_value()
    remedy = "set it from a Secret, the same everywhere: openssl rand -hex 32 (docs/rights.md says how to rotate)"
    if not given:
        detail = "each machine makes one in its data folder: one person has a different key on each, and another arm"
        return Finding(subject, "fail", detail, remedy, name, "(not set)")
    shown = f"(a secret of {len(given)} characters)"
    if given.lower() in WEAK or len(given) < MIN_SECRET_CHARACTERS or len(set(given)) < 8:
        return Finding(subject, "fail", "user keys can be undone by whoever guesses it", remedy, name, shown)
    return Finding(subject, "ok", "set, and long enough", "", name, shown)


def check_store_password(settings: Settings) -> Finding:
    """A password of the store that is not in every list of passwords."""
    subject, name = "store password", "store.url"
    parts = urlsplit(settings.store_url)
    if parts.scheme.startswith("sqlite"):
        return Finding(subject, "ok", "a file has none", "", name, "(a file)")
    shown = f"{parts.scheme}://{parts.username or ''}:***@{parts.hostname}"
    if (parts.password or "").lower() in WEAK and "host=/" not in parts.query and parts.hostname:
        remedy = "choose another password in PostgreSQL and in the Secret that store.url comes from"
        return Finding(subject, "fail", "no password, or a default one", remedy, name, shown)
    if parts.hostname and parts.hostname not in LOOPBACK and "sslmode=" not in parts.query:
        remedy = "add ?sslmode=verify-full and the server's authority, unless the network between them is yours alone"
        return Finding(subject, "note", "PostgreSQL may be spoken to without encryption", remedy, name, shown)
    return Finding(subject, "ok", "not a default one", "", name, shown)


def check_log_password(settings: Settings) -> Finding:
    """Who may write to the log can vote for anybody."""
    subject, log = "log password", settings.event_log
    if log.kind == "embedded":
        return Finding(subject, "ok", "the embedded log is a file", "", "event_log.kind", log.kind)
    if log.security_protocol.startswith("SASL") and log.sasl_password.get_secret_value().lower() in WEAK:
        remedy = "give the Kafka user another password, and event_log.sasl_password from a Secret"
        return Finding(subject, "fail", "no password, or a default one", remedy, "event_log.sasl_password", "***")
    near = all(server.rpartition(":")[0] in LOOPBACK for server in log.bootstrap_servers.split(","))
    if log.security_protocol in ("PLAINTEXT", "SASL_PLAINTEXT") and not near:
        detail = "Kafka is spoken to without encryption: whoever is on that network reads prompts and can vote"
        remedy = "use SASL_SSL, unless the network between them is yours alone"
        return Finding(subject, "note", detail, remedy, "event_log.security_protocol", log.security_protocol)
    return Finding(subject, "ok", log.security_protocol, "", "event_log.security_protocol", log.security_protocol)


def check_keys(settings: Settings) -> Finding:
    """Callers have keys."""
    name, value = "access.require_keys", str(settings.access.require_keys).lower()
    if settings.access.require_keys:
        return Finding("keys", "ok", "API keys are required", "", name, value)
    remedy = "set it to true and make keys: plaudit keys create NAME --scope infer --scope feedback"
    return Finding("keys", "fail", "anybody who reaches a port may ask, vote and read labels", remedy, name, value)


def check_cors(settings: Settings) -> Finding:
    """Pages of named origins only, over HTTPS."""
    subject, name, origins = "cross-origin calls", "access.cors_origins", settings.access.cors_origins
    value = ", ".join(origins) or "(none)"
    if "*" in origins:
        remedy = "name the origins of your own pages, https://host"
        return Finding(subject, "fail", "a page of any site may call the API", remedy, name, value)
    plain = [one for one in origins if one.startswith("http://") and urlsplit(one).hostname not in LOOPBACK]
    if plain:
        detail = f"what {', '.join(plain)} sends can be read and changed on its way"
        return Finding(subject, "fail", detail, "serve those pages over https, and name them so", name, value)
    return Finding(subject, "ok", "none, or named ones over https", "", name, value)


def check_tls(settings: Settings, public_url: str) -> Finding:
    """Plaudit speaks plain HTTP: something in front of it must end TLS."""
    name, value = "serving.host", settings.serving.host
    if not public_url:
        if value in LOOPBACK:
            return Finding("TLS", "ok", "only this machine reaches the gateway", "", name, value)
        remedy = "put a proxy with a certificate before it, and run this again with --public-url https://..."
        return Finding(
            "TLS", "note", "the gateway speaks plain HTTP; where callers reach it was not told", remedy, name, value
        )
    if urlsplit(public_url).scheme != "https":
        remedy = "put a proxy or an ingress with a certificate before the gateway"
        return Finding("TLS", "fail", "keys, prompts and votes travel in the open", remedy, "--public-url", public_url)
    wrong = _unreachable(public_url)
    if wrong:
        return Finding("TLS", "fail", wrong, "mend the proxy, its certificate or its route", "--public-url", public_url)
    return Finding(
        "TLS", "ok", "answers over https with a certificate this machine trusts", "", "--public-url", public_url
    )


def _unreachable(public_url: str) -> str | None:
    import httpx

    try:
        answer = httpx.get(f"{public_url.rstrip('/')}/v1/models", timeout=5.0)
    except httpx.HTTPError as error:
        return f"it cannot be reached: {error}"
    return f"it answers {answer.status_code}" if answer.status_code >= 500 else None


def check_console(settings: Settings) -> Finding:
    """The console's sign-in travels encrypted, and says who acted."""
    console, away = settings.console, settings.serving.host not in LOOPBACK
    if not console.enabled:
        return Finding("console", "ok", "not served", "", "console.enabled", "false")
    if away and not console.secure_cookie:
        detail = "the cookie of a session may be sent over plain HTTP, where others can take it"
        return Finding("console", "fail", detail, "set it to true", "console.secure_cookie", "false")
    if away and console.local_password:
        detail = "one password for everybody: the audit trail cannot say who acted"
        remedy = "set it to false and give each person a key: plaudit keys create NAME --scope admin"
        return Finding("console", "note", detail, remedy, "console.local_password", "true")
    return Finding("console", "ok", "sessions over https, or on this machine alone", "", "console.secure_cookie",
                   str(console.secure_cookie).lower())  # fmt: skip


def check_engine(settings: Settings) -> Finding:
    """No answer depends on one server, and none goes out that teaches nothing."""
    engine = settings.serving.engine
    if settings.serving.serve_unlogged:
        detail = "with log and spool full, answers go out of which nothing is known"
        return Finding("engine", "note", detail, "set it to false", "serving.serve_unlogged", "true")
    if engine.kind == "local":
        return Finding("engine", "ok", "in the gateway's own process", "", "serving.engine.kind", "local")
    name, urls = "serving.engine.vllm.urls", engine.vllm.urls
    if len(urls) < 2:
        return Finding("engine", "note", "one server: its restart is an outage", "name a second", name, ", ".join(urls))
    return Finding("engine", "ok", f"{len(urls)} servers", "", name, ", ".join(urls))


def check_store_kind(settings: Settings) -> Finding:
    """A store that several machines can use."""
    if settings.store_url.startswith("sqlite"):
        detail = "SQLite is for one machine: no second replica can use it, and its disk is the only copy"
        remedy = "use PostgreSQL (a SQLite backup can be restored into it), or take backups often"
        return Finding("store", "note", detail, remedy, "store.url", "(a file)")
    return Finding("store", "ok", "PostgreSQL", "", "store.url", urlsplit(settings.store_url).hostname or "(a socket)")


def check_replication(settings: Settings) -> Finding:
    """What topics are made with: an accepted event must survive the loss of a machine."""
    subject, log = "replication", settings.event_log
    if log.kind == "embedded":
        detail = "the embedded log is one file on one disk: what was accepted since the last backup goes with it"
        remedy = "use Kafka with three brokers, or accept this and take backups often"
        return Finding(subject, "note", detail, remedy, "event_log.kind", log.kind)
    name, value = "event_log.replication_factor", str(log.replication_factor)
    if log.replication_factor < 3:
        remedy = "set it to 3, with at least three brokers, before the topics are made; afterwards reassign partitions"
        return Finding(subject, "fail", "an accepted event can be lost with one machine", remedy, name, value)
    return Finding(subject, "ok", "three replicas, two of which must have a record", "", name, value)


def check_retention(settings: Settings) -> Finding:
    """Whether what people wrote is kept for ever by decision or by default."""
    for name in ("interaction_seconds", "feedback_text_seconds", "dead_letter_seconds"):
        if not getattr(settings.retention, name):
            detail = "prompts, comments or dead letters are kept for ever, and the store grows for ever"
            remedy = "set an age in seconds, longer than the windows of labels and of training"
            return Finding("retention", "note", detail, remedy, f"retention.{name}", "0 (for ever)")
    if settings.event_log.kind == "embedded" and not settings.retention.log_record_seconds:
        remedy = "set an age in seconds, longer than the time between two backups"
        name = "retention.log_record_seconds"
        return Finding("retention", "note", "the embedded log grows for ever", remedy, name, "0 (for ever)")
    return Finding("retention", "ok", "everything has an age", "", "retention.interaction_seconds",
                   f"{settings.retention.interaction_seconds:g}")  # fmt: skip


def check_spool(settings: Settings) -> Finding:
    """Room for what is accepted while Kafka is away."""
    name, limit = "event_log.spool_limit_bytes", settings.event_log.spool_limit_bytes
    usage = shutil.disk_usage(existing_ancestor(settings.data_dir))
    value = f"{limit} ({usage.free / _GIB:.1f} of {usage.total / _GIB:.1f} GiB of the disk are free)"
    wanted = SPARE_BYTES + (limit if settings.event_log.kind == "kafka" else 0)
    if usage.free < wanted:
        remedy = f"free {(wanted - usage.free) / _GIB:.1f} GiB, move data_dir, or lower the limit"
        return Finding("spool", "fail", "a full spool and a night's work do not fit on the disk", remedy, name, value)
    if settings.event_log.kind == "kafka" and not limit:
        detail = "while Kafka does not answer, feedback is refused and no answer is made"
        return Finding("spool", "note", detail, "set it, and put data_dir on a disk that outlives the pod", name, value)
    return Finding("spool", "ok", "fits on the disk", "", name, value)


def check_logging(settings: Settings) -> Finding:
    """Lines that machines read, and not too many."""
    if settings.logging.format != "json":
        remedy = "set it to json"
        return Finding("logging", "note", "lines are for people", remedy, "logging.format", settings.logging.format)
    if settings.logging.level == "debug":
        return Finding("logging", "note", "every detail is written", "set it to info", "logging.level", "debug")
    return Finding("logging", "ok", "JSON", "", "logging.level", settings.logging.level)

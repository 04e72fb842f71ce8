"""Erasing a person (contract 8): store, log, caches, exports; tombstones, taints, a receipt.

The order makes every crash harmless. The erasure is durable on the log before the transaction of the store commits: if
the commit fails, the consumer finishes what the log says. What follows (bytes in files) can be done again at any time:
`finish_open` does it for every erasure that is not known to be clean, and the job `retention` calls it.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from infra.contracts import PlauditError, user_key_of, uuid7
from infra.event_log import EventLogUnavailable
from infra.metrics import catalogue as metrics
from infra.runtime import Context
from infra.settings import Settings, user_secret, user_secrets
from ingest.access import audit
from ingest.erasure import files
from ingest.erasure.forgetting import Forgotten, Whom, forget
from ingest.erasure.letters import Needles, literals
from ingest.erasure.message import ErasureMessage, erasures_topic, records
from ingest.erasure.receipts import sign
from ingest.erasure.redaction import redact_log
from ingest.erasure.repository import ErasureRepository
from ingest.export.redaction import redact_exports
from ingest.labels import Labelling

Document = dict[str, Any]


class NobodyNamed(PlauditError):
    """Neither a user id nor a user key, or one that no user key looks like."""

    code = "nobody_named"
    status = 422


def keys_of(settings: Settings, user: str) -> frozenset[str]:
    """Every user key this person may be known by: one for each secret the deployment has had."""
    return frozenset(user_key_of(user, secret) for secret in user_secrets(settings))


def erase(context: Context, *, user: str | None = None, user_key: str | None = None, actor: str) -> Document:
    """Erase a person everywhere and return the signed receipt.

    `user` is the caller's own id (every former secret is tried), `user_key` a key where the id is no longer known.
    Raises NobodyNamed; EventLogUnavailable or StoreUnavailable, and then nothing was erased; FileBusy never: files that
    could not be cleaned stand in the receipt and are cleaned by the job `retention`.
    """
    keys = _keys(context.settings, user, user_key)
    now = context.clock.now()
    whom = Whom(str(uuid7()), context.settings.project, now, keys, raw_id=user)
    labelling = Labelling.of(context.settings.ingest)
    with context.database.transaction() as connection:
        gone = forget(connection, whom, labelling, now)
        publish(context, whom, gone)
        detail = {"erasure_id": whom.erasure_id, "rows": gone.counts, "tainted": len(gone.tainted)}
        audit.record(connection, actor, "person.erased", detail, project=whom.project, at=now)
        ErasureRepository(connection, whom.project).add(whom.erasure_id, now, "command", {})
    metrics.ERASURES.labels("command").inc()
    return _finished(context, whom, gone)


def publish(context: Context, whom: Whom, gone: Forgotten) -> None:
    """Make the erasure durable on the log, so that a store restored from a backup learns it again. Raises
    EventLogUnavailable."""
    message = ErasureMessage(
        erasure_id=whom.erasure_id,
        project=whom.project,
        erased_at=whom.before,
        people=sorted(whom.all_digests),
        events=sorted(gone.events),
        responses=sorted(gone.responses),
        tainted=gone.tainted,
    )
    topic = erasures_topic(context.settings)
    context.event_log.ensure_topic(topic)
    seconds = context.settings.event_log.append_timeout_seconds + 1
    try:
        context.event_log.append(topic, records(message)).result(seconds)
    except TimeoutError as error:
        raise EventLogUnavailable(
            f"topic {topic} did not take the erasure within {seconds:g} s: nothing is erased"
        ) from error


def clean_files(context: Context, whom: Whom, gone: Forgotten) -> Document:
    """Log, exports, caches and bytes; what was done, as it stands in the receipt."""
    settings = context.settings
    needles = Needles(whom.project, literals(whom.keys, whom.raw_id), whom.all_digests, gone.events | gone.responses)
    files.spools_move_on(settings)
    redacted = redact_log(context, needles)
    exports = redact_exports(context, gone.responses, gone.touched)
    features = files.forget_features(settings, gone.content)
    names = literals(whom.keys, whom.raw_id)
    busy = _scrubbed(context, names)
    left = [_shown(path, settings) for path in files.files_holding(settings.data_dir, names)]
    return {
        "log_records_rewritten": sum(redacted.values()),
        "feature_cache_segments_deleted": features,
        "exports": exports,
        "files_not_clean": sorted(set(busy + left)),
    }


def _keys(settings: Settings, user: str | None, user_key: str | None) -> frozenset[str]:
    if user:
        return keys_of(settings, user)
    if user_key and len(user_key) == 32 and set(user_key) <= set("0123456789abcdef"):
        return frozenset({user_key})
    raise NobodyNamed(
        "name a person by --user ID, or by --user-key and 32 hexadecimal digits as the store has them", field="user"
    )


def _finished(context: Context, whom: Whom, gone: Forgotten) -> Document:
    cleaned = clean_files(context, whom, gone)
    receipt = sign(_receipt(context, whom, gone, cleaned), user_secret(context.settings))
    clean = not cleaned["files_not_clean"]
    with context.database.transaction() as connection:
        repository = ErasureRepository(connection, whom.project)
        repository.set_receipt(whom.erasure_id, receipt, context.clock.now() if clean else None)
    return receipt


def _receipt(context: Context, whom: Whom, gone: Forgotten, cleaned: Document) -> Document:
    return {
        "receipt": "plaudit erasure",
        "version": 1,
        "erasure_id": whom.erasure_id,
        "project": whom.project,
        "erased_at": whom.before,
        "rows_deleted": gone.counts,
        "tombstones": {"events": len(gone.events), "responses": len(gone.responses), "people": len(whom.all_digests)},
        "labels_of_others_remade": len(gone.touched),
        "tainted": [{"kind": one.kind, "ref": one.ref, "reason": one.reason} for one in gone.tainted],
        "retrain": "requested" if gone.tainted else "not needed: nothing learned from this person",
        **cleaned,
        "remains": _remains(context),
    }


def _remains(context: Context) -> list[str]:
    """What a deployment's administrator must know: copies this program cannot reach."""
    remains = [
        "backups of store, log and data folder made before: they age out as backups do, and a restored one is "
        "cleaned by the topic of erasures"
    ]
    if context.settings.event_log.kind == "kafka":
        remains.append("records on Kafka until the retention of the topics passes; they are never applied again")
    if context.database.dialect == "postgresql":
        remains.append("freed pages and write-ahead segments of PostgreSQL until the server reuses them")
    return remains


def _scrubbed(context: Context, needles: Collection[bytes]) -> list[str]:
    context.database.close()  # idle connections only: pooled readers would hold the write-ahead log
    busy = [_shown(path, context.settings) for path in files.spooled(context.settings, needles)]
    for path in files.sqlite_files(context.settings):
        try:
            if not files.scrub(path, needles):
                busy.append(_shown(path, context.settings))
        except files.FileBusy:
            busy.append(_shown(path, context.settings))
    return busy


def _shown(path: Path, settings: Settings) -> str:
    folder = settings.data_dir.absolute()
    return str(path.absolute().relative_to(folder)) if path.absolute().is_relative_to(folder) else path.name


def finish_open(context: Context) -> tuple[int, int]:
    """Clean files for every erasure that is not known to be clean; (cleaned, still open).

    Erasures learned from the log of a restored store are among them. Their keys are not known here, only digests: so
    the log is redacted by tombstones, and the SQLite files are written anew, whatever they held.
    """
    with context.database.reading() as connection:
        open_ones = ErasureRepository(connection, context.settings.project).unscrubbed()
    if not open_ones:
        return 0, 0
    if not files.spools_move_on(context.settings):
        return 0, len(open_ones)
    redact_log(context, Needles(context.settings.project))
    context.database.close()
    try:
        for path in files.sqlite_files(context.settings):
            files.vacuum(path)
    except files.FileBusy:
        return 0, len(open_ones)
    with context.database.transaction() as connection:
        repository = ErasureRepository(connection, context.settings.project)
        for erasure_id in open_ones:
            repository.scrubbed(erasure_id, context.clock.now())
    return len(open_ones), 0

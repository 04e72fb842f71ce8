"""Erasures made after a backup: a restored store must not hold those people again."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from infra.contracts import PlauditError
from infra.db import Database, current_revision, newest_revision
from infra.settings import Settings, user_secrets
from ingest.erasure.carrying import erasures_of
from ingest.erasure.message import ErasureMessage
from ingest.erasure.receipts import read_receipt
from plaudit.keeping.backup import ERASURES_FILE, STORE_FILE


class UnknownPlace(PlauditError):
    """Erasures cannot be read there."""

    code = "unknown_place"
    status = 422


def erasures_at(place: str) -> list[ErasureMessage]:
    """Every erasure known at a place: a store's URL, a data folder, a backup, or a file of `plaudit backup
    --erasures-only`. Raises UnknownPlace; StoreUnavailable."""
    path = Path(place)
    if "://" in place:
        return _of_store(place)
    if path.is_file():
        return _decoded(path)
    if (path / ERASURES_FILE).is_file():
        return _decoded(path / ERASURES_FILE)
    if (path / STORE_FILE).is_file():
        return _of_store(f"sqlite:///{(path / STORE_FILE).absolute()}")
    raise UnknownPlace(
        f"{place} is no URL of a store, no data folder, no backup and no file of erasures", field="tombstones-from"
    )


def receipts_of(paths: Sequence[Path], settings: Settings) -> dict[str, Path]:
    """Erasure id -> its receipt, each verified. Raises InvalidReceipt."""
    secrets = user_secrets(settings)
    return {str(read_receipt(path, secrets)["erasure_id"]): path for path in paths}


def _decoded(path: Path) -> list[ErasureMessage]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[ErasureMessage])
    except (OSError, msgspec.MsgspecError) as error:
        raise UnknownPlace(f"{path} is no file of erasures: {error}", field="tombstones-from") from None


def _of_store(url: str) -> list[ErasureMessage]:
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).is_file():
        raise UnknownPlace(f"there is no store at {url}", field="tombstones-from")
    database = Database.open(url)
    try:
        if (revision := current_revision(url)) != newest_revision():
            raise UnknownPlace(
                f"the store {database.safe_url} is at revision {revision}, this version reads {newest_revision()}: "
                "run `plaudit migrate` there",
                field="tombstones-from",
            )
        with database.reading() as connection:
            return erasures_of(connection)
    finally:
        database.close()

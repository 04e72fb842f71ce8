"""What is in a backup, and whether it is still what it was: names, sizes and SHA-256 of every file."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from infra.contracts import PlauditError
from infra.durable import sync

MANIFEST = "manifest.json"
FORMAT = 1
_CHUNK = 1024 * 1024

Tick = Callable[[str, int], None]
"""Told what is worked on and how many more bytes of it are done."""


class InvalidBackup(PlauditError):
    """The folder is no backup, a later version made it, or its content is not what the manifest says."""

    code = "invalid_backup"
    status = 422


class Part(msgspec.Struct, frozen=True):
    """One file; `path` is relative to the folder of the backup, with `/`."""

    path: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`. `made_at`: Unix seconds of the store's snapshot. `digest`: SHA-256 of all else."""

    made_by: str
    project: str
    made_at: float
    revision: str
    config_hash: str
    data_dir: str
    store: Literal["sqlite", "postgresql"]
    event_log: Literal["embedded", "kafka"]
    secret_check: str
    columns: dict[str, list[str]] = {}
    """Of a PostgreSQL store: the columns of each table, in the order of its dump."""
    erasures: int = 0
    missing: list[str] = []
    """Adapters whose files were not there, or not what the store says they are."""
    parts: list[Part] = []
    format: int = FORMAT
    digest: str = ""

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def digest_of(manifest: Manifest) -> str:
    """SHA-256, 64 hex digits, of a manifest without its digest."""
    plain = msgspec.structs.replace(manifest, digest="")
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write it with its digest, durably: last, so that a folder with a manifest is whole."""
    sealed = msgspec.structs.replace(manifest, digest=digest_of(manifest))
    path = folder / MANIFEST
    path.write_bytes(msgspec.json.format(msgspec.json.encode(sealed), indent=1) + b"\n")
    sync(path)
    sync(folder)
    return sealed


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup. Raises InvalidBackup."""
    path = folder / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise InvalidBackup(f"{folder} holds no {MANIFEST}: it is no backup, or one that was not finished") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidBackup(f"{path} cannot be read as a manifest: {error}; take another backup") from None
    if manifest.format != FORMAT:
        raise InvalidBackup(
            f"{path} has format {manifest.format}, this version reads {FORMAT}: use the version it names"
        )
    if manifest.digest != digest_of(manifest):
        raise InvalidBackup(f"{path} was changed after it was written: take another backup")
    return manifest


def verify(folder: Path, manifest: Manifest, tick: Tick) -> None:
    """Read every file and compare it with the manifest. Raises InvalidBackup, naming every file that differs."""
    wrong = [part.path for part in manifest.parts if _differs(folder / part.path, part, tick)]
    strangers = sorted(set(_names(folder)) - {part.path for part in manifest.parts} - {MANIFEST})
    if wrong or strangers:
        said = [f"missing or changed: {', '.join(wrong)}"] * bool(wrong)
        said += [f"not in the manifest: {', '.join(strangers)}"] * bool(strangers)
        raise InvalidBackup(f"{folder}: {'; '.join(said)}; nothing was restored, take another backup")


def part_of(folder: Path, path: Path, tick: Tick = lambda _what, _bytes: None) -> Part:
    """A file of the folder, hashed."""
    name = path.relative_to(folder).as_posix()
    return Part(name, path.stat().st_size, sha256_of(path, tick))


def sha256_of(path: Path, tick: Tick = lambda _what, _bytes: None) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
        tick(path.name, len(chunk))
    return digest.hexdigest()


def copy_hashed(source: Path, target: Path, tick: Tick) -> str:
    """Copy a file durably, never over another one; the SHA-256 of what was copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for chunk in _chunks(source):
            digest.update(chunk)
            file.write(chunk)
            tick(source.name, len(chunk))
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _differs(path: Path, part: Part, tick: Tick) -> bool:
    inside = not Path(part.path).is_absolute() and ".." not in Path(part.path).parts
    if not inside or path.is_symlink() or not path.is_file() or path.stat().st_size != part.bytes:
        return True
    return sha256_of(path, tick) != part.sha256


def _names(folder: Path) -> Collection[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk

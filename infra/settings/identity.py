"""What a configuration is called, and the secret that turns user ids into user keys."""

import hashlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

from infra.settings.root import Settings
from infra.settings.tree import leaves

MASK = "***"
SECRET_FILE = "user_key_secret"  # noqa: S105 -- the name of the file, not what is in it
FORMER_SECRETS_FILE = "user_key_secret.former"
"""One former secret a line, oldest first."""

CONSOLE_PASSWORD_FILE = "console-password"  # noqa: S105 -- the name of the file
_SECRET_BYTES, _PASSWORD_BYTES = 32, 10
"""Random bytes of a secret that machines keep, and of one that a person copies; written in hexadecimal."""

_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@/\s]+@")


def resolved(settings: Settings) -> dict[str, Any]:
    """Every setting as plain JSON values; secrets, and passwords inside URLs, are masked."""
    document: dict[str, Any] = _mask_passwords(settings.model_dump(mode="json"))
    for path in _secret_paths():
        section = _parent(document, path)
        section[path[-1]] = MASK if section[path[-1]] else ""
    return document


def config_hash(settings: Settings) -> str:
    """SHA-256, 64 hex digits, of the canonical JSON of all settings but secrets and passwords.

    Equal for equal settings, whatever their source and order; it changes with every other value.
    """
    document = resolved(settings)
    for path in _secret_paths():
        del _parent(document, path)[path[-1]]
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def user_secret(settings: Settings) -> bytes:
    """The deployment secret of user keys: the setting, else one made once in the data folder (mode 600).

    Several processes may ask for the first time at once: all get the same one.
    """
    given = settings.user_key_secret.get_secret_value()
    if given:
        return given.encode()
    path = settings.data_dir / SECRET_FILE
    if not path.exists():
        _make_once(path)
    return path.read_bytes().strip()


def console_password(settings: Settings) -> str:
    """The console's local password, made once in the data folder (mode 600)."""
    path = settings.data_dir / CONSOLE_PASSWORD_FILE
    if not path.exists():
        _make_once(path, _PASSWORD_BYTES)
    return path.read_text(encoding="utf-8").strip()


def user_secrets(settings: Settings) -> tuple[bytes, ...]:
    """The deployment secret and every former one, newest first: a person's older keys were made under these."""
    given = [text.strip().encode() for text in settings.previous_user_key_secrets.get_secret_value().split(",")]
    path = settings.data_dir / FORMER_SECRETS_FILE
    kept = path.read_bytes().split() if path.exists() else []
    return tuple(dict.fromkeys([user_secret(settings), *filter(None, given), *reversed(kept)]))


def rotate_user_secret(settings: Settings) -> None:
    """Make a new secret in the data folder and keep the former one beside it. Processes read it when they start.

    Raises ValueError where the secret is a setting: then whoever sets it rotates it there.
    """
    if settings.user_key_secret.get_secret_value():
        raise ValueError("user_key_secret is set")
    former = user_secret(settings)
    kept = settings.data_dir / FORMER_SECRETS_FILE
    # First the former secret is safe, then the new one holds: a crash between the two loses nothing.
    before = kept.read_bytes() if kept.exists() else b""
    _replace(kept, before + former + b"\n")
    _replace(settings.data_dir / SECRET_FILE, secrets.token_hex(32).encode() + b"\n")


def _replace(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def _make_once(path: Path, random_bytes: int = _SECRET_BYTES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(random_bytes) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # fails where another process was first: then its secret holds
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _secret_paths() -> list[list[str]]:
    return [leaf.name.split(".") for leaf in leaves(Settings) if leaf.secret]


def _parent(document: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for part in path[:-1]:
        document = document[part]
    return document


def _mask_passwords(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mask_passwords(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask_passwords(item) for item in value]
    return _PASSWORD.sub(rf"\1{MASK}@", value) if isinstance(value, str) else value

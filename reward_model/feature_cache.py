"""Features on disk: safetensors segments, each written once and never changed, oldest thrown out first."""

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

log = logging.getLogger(__name__)


class FeatureCache:
    """Rows by content key, for one recipe of features. Several processes may share a folder: a segment appears whole.

    A damaged segment is ignored and its rows computed again; the cache is never the only copy of anything.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, keys: set[str]) -> dict[str, Tensor]:
        """The rows [D] (float32) that are there, by key."""
        found: dict[str, Tensor] = {}
        for path in self._segments():
            try:
                found.update(_rows(path, keys - found.keys()))
            except (SafetensorError, OSError, KeyError, ValueError) as error:
                log.warning("feature cache: %s cannot be read (%s); its rows are computed again", path.name, error)
        return found

    def write(self, rows: Mapping[str, Tensor]) -> None:
        """Add a segment, then throw out the oldest ones beyond the limit. Does nothing for no rows."""
        if not rows:
            return
        path = self._folder / f"{secrets.token_hex(12)}.safetensors"
        draft = path.with_suffix(".part")
        stacked = torch.stack(list(rows.values())).contiguous()
        try:
            save_file({"rows": stacked}, draft, metadata={"keys": json.dumps(list(rows)), "sha256": _digest(stacked)})
            os.replace(draft, path)
        except Exception:
            draft.unlink(missing_ok=True)  # on a full disk half a segment would only take room
            raise
        self._trim(keep=path)

    def _trim(self, keep: Path) -> None:
        total = 0
        for path in [keep, *(p for p in reversed(list(self._segments())) if p != keep)]:
            total += path.stat().st_size
            if total > self._max_bytes and path != keep:
                path.unlink(missing_ok=True)

    def _segments(self) -> Iterator[Path]:
        """Oldest first."""
        yield from sorted(self._folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)


def _digest(rows: Tensor) -> str:
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()


def _rows(path: Path, keys: set[str]) -> dict[str, Tensor]:
    with safe_open(path, "pt") as segment:
        names: list[str] = json.loads(segment.metadata()["keys"])
        if keys.isdisjoint(names):
            return {}
        rows = segment.get_tensor("rows")
        expected = segment.metadata().get("sha256")
    if expected is not None and expected != _digest(rows):
        raise ValueError("its rows are not the ones that were written")
    return {name: rows[i].clone() for i, name in enumerate(names) if name in keys}

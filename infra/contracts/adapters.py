"""LoRA adapters: immutable weights, addressed as `name@version`, names never reused."""

import re
from typing import Literal

import msgspec

from infra.contracts.errors import PlauditError

BASE_ADAPTER = "base"
"""How the bare base model is addressed wherever an adapter may stand."""

AdapterRef = str
"""`name@version` or `base`."""

AdapterState = Literal["candidate", "refused", "reserve", "challenger", "champion", "retired", "rejected"]
"""candidate: trained, not gated; refused: by the gate; reserve: passed, but better ones of its cycle go first and it is
not put before people; challenger: passed, may enter an experiment; champion: served to everyone; retired: was champion;
rejected: lost or was rolled back in an experiment."""

_REF = re.compile(r"^[a-z0-9][a-z0-9-]{0,62}@[1-9][0-9]*$")


class InvalidAdapterRef(PlauditError):
    code = "invalid_adapter_ref"
    status = 400


def parse_ref(ref: AdapterRef) -> tuple[str, int]:
    """`name@version` -> (name, version). Raises InvalidAdapterRef."""
    if not _REF.fullmatch(ref):
        raise InvalidAdapterRef(
            f"adapter {ref!r} is not of the form name@version (lower-case letters, digits, '-'; version from 1); "
            "list the known ones with GET /v1/models",
            field="adapter",
        )
    name, version = ref.split("@")
    return name, int(version)


class Fingerprint(msgspec.Struct, frozen=True):
    """What an adapter says on probe prompts: the proof that what is served is what was trained (contract 4).

    `logprobs[i][t]` is the log-probability (nats) of token t of probe i's fixed completion, batch 1, fixed shape.
    `noise` is the largest mean absolute difference between repeated measurements on the engine that made it.
    """

    probe_hash: str
    logprobs: tuple[tuple[float, ...], ...]
    noise: float


class AdapterVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One trained adapter and where it comes from. `path` is a folder; `file_hashes` SHA-256 by relative file name."""

    project: str
    name: str
    version: int
    path: str
    base_model_hash: str
    file_hashes: dict[str, str]
    fingerprint: Fingerprint
    state: AdapterState
    parent: AdapterRef
    created_at: float
    run_id: str = ""
    lineage: dict[str, str] = msgspec.field(default_factory=dict)
    gate: dict[str, object] = msgspec.field(default_factory=dict)

    @property
    def ref(self) -> AdapterRef:
        return f"{self.name}@{self.version}"

"""The proof of one adapter on one replica (contract 4): its row, its files, its weights, and what it says.

Nothing here decides who is served; `serving.keeping` does, by these verdicts.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from infra.contracts import BASE_ADAPTER, AdapterRef, AdapterVersion, Clock, Fingerprint
from infra.contracts.adapters import parse_ref
from infra.db import Database
from infra.models.errors import AdapterRefused
from infra.models.fingerprint import Proof, distance, nearest
from infra.models.loading import LoadedModel
from infra.models.lora import verify_files, verify_identity, verify_weights
from serving.replicas import Replica
from serving.repository import ServingRepository

PROVEN = ("proven", "indistinguishable")
"""Statuses of what a replica takes traffic for."""


class Proven(NamedTuple):
    """How a replica proved an adapter: the verdict's word, the numbers behind it, and a digest of what was proven."""

    status: str
    detail: dict[str, Any]
    digest: str


class Mismatch(AdapterRefused):
    """What is loaded does not speak as it did in training."""

    code = "adapter_mismatch"

    def __init__(self, proof: Proof) -> None:
        super().__init__(proof.reason, code=self.code)
        self.proof = proof


class Prover:
    """Proofs on the replicas of one engine, against what the store knows. Store errors pass through."""

    def __init__(self, database: Database, clock: Clock, project: str, base: LoadedModel) -> None:
        self._database = database
        self._clock = clock
        self._project = project
        self._base = base

    def base(self, replica: Replica, reference: Fingerprint | None, most: float) -> tuple[Proven, Fingerprint, float]:
        """The base on this replica; the fingerprint it counts as, and the replica's offset to it in nats a token.

        With a `reference` the replica must say the same to within `most`, and lie nearer to it than to every adapter.
        Without one its weights are the files that were hashed here, or are taken on trust. Raises Mismatch.
        """
        measured = replica.fingerprint(BASE_ADAPTER)
        detail: dict[str, Any] = {"base_model_hash": self._base.base_model_hash, "noise": measured.noise}
        if reference is None:
            if self._base.model is None:
                detail["reason"] = "the servers' base is taken on trust: serving.engine.vllm.prove_base is false"
                return Proven("indistinguishable", detail, ""), measured, 0.0
            return Proven("proven", detail, ""), measured, 0.0
        offset = distance(measured, reference)
        known = {BASE_ADAPTER: reference, **self._rivals()}
        proof = nearest(measured, BASE_ADAPTER, known, allowance=most)
        if proof.verdict == "mismatch" or offset > most:
            raise Mismatch(proof)
        return Proven(proof.verdict, {**detail, **msgspec.to_builtins(proof), "offset": offset}, ""), reference, offset

    def adapter(self, replica: Replica, ref: AdapterRef, base: Fingerprint, offset: float) -> Proof:
        """What is loaded on the replica under `ref`, judged. `offset`: how far the replica lies from training on the
        base; as much again is allowed for what an adapter adds. Raises Mismatch."""
        known = {BASE_ADAPTER: base, **self._rivals()}
        proof = nearest(replica.fingerprint(ref), ref, known, allowance=2 * offset)
        if proof.verdict == "mismatch":
            raise Mismatch(proof)
        return proof

    def row(self, ref: AdapterRef) -> AdapterVersion:
        """The adapter's row, of this base. Raises AdapterRefused, InvalidAdapterRef."""
        parse_ref(ref)
        with self._database.reading() as connection:
            adapter = ServingRepository(connection, self._project).adapter(ref)
        if adapter is None:
            raise AdapterRefused(f"the store knows no adapter {ref}", code="adapter_missing")
        if adapter.base_model_hash != self._base.base_model_hash:
            raise AdapterRefused(
                f"{ref} belongs to base {adapter.base_model_hash[:12]}, this engine runs "
                f"{self._base.base_model_hash[:12]}: load the same base model, or retrain: see "
                "docs/serving.md, 'Another base'",
                code="adapter_wrong_base",
            )
        return adapter

    def files(self, adapter: AdapterVersion) -> Path:
        """The adapter's folder, its files and weights verified. Raises AdapterRefused."""
        folder = Path(adapter.path)
        verify_files(folder, adapter.file_hashes)
        verify_weights(folder, verify_identity(folder, self._base))
        return folder

    def digests(self, refs: list[AdapterRef]) -> dict[AdapterRef, str]:
        """What the store says now that each of these adapters is, as a digest."""
        with self._database.reading() as connection:
            rows = ServingRepository(connection, self._project).identities(refs)
        return {ref: digest_of(hashes) for ref, hashes in rows.items()}

    def record(self, replica: str, ref: AdapterRef, status: str, detail: Mapping[str, Any]) -> None:
        with self._database.transaction() as connection:
            repository = ServingRepository(connection, self._project)
            repository.write_proof(replica, ref, status, dict(detail), self._clock.now())

    def forget(self, replica: str, reason: str, of: tuple[str, ...] = ()) -> None:
        """Nothing is proven on that replica any more. `of`: only what has one of these statuses is told so."""
        with self._database.transaction() as connection:
            ServingRepository(connection, self._project).forget_proofs(replica, reason, self._clock.now(), of)

    def now(self) -> float:
        return self._clock.now()

    def _rivals(self) -> dict[AdapterRef, Fingerprint]:
        with self._database.reading() as connection:
            relatives = ServingRepository(connection, self._project).adapters_on(self._base.base_model_hash)
        return {other.ref: other.fingerprint for other in relatives}


def digest_of(file_hashes: Mapping[str, str]) -> str:
    """One digest of an adapter's files: another one means other weights under the same name."""
    return hashlib.sha256(json.dumps(sorted(file_hashes.items())).encode()).hexdigest()

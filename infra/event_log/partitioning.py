"""Which partition a record belongs to. One rule for every adapter, so that they can be exchanged."""

import hashlib
from collections.abc import Sequence

from infra.contracts.errors import PlauditError
from infra.event_log.port import Record


class InvalidRecord(PlauditError):
    """A record that no log would take: the caller is wrong, trying again does not help."""

    code = "invalid_record"
    status = 422


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` in [0, partitions): equals `stable_hash(key.decode(), partitions)` for text keys."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest()) % partitions


def place(records: Sequence[Record], partitions: int, max_record_bytes: int) -> list[int]:
    """The partition of each record. Raises InvalidRecord for one out of range or too large."""
    placed: list[int] = []
    for index, record in enumerate(records):
        size = len(record.key) + len(record.value)
        if size > max_record_bytes:
            raise InvalidRecord(
                f"record {index} has {size} bytes, more than {max_record_bytes}: send fewer events in one record, "
                "or raise event_log.max_record_bytes",
                status=413,
            )
        partition = partition_of(record.key, partitions) if record.partition is None else record.partition
        if not 0 <= partition < partitions:
            raise InvalidRecord(f"record {index}: partition {partition} is not in [0, {partitions})", field="partition")
        placed.append(partition)
    return placed

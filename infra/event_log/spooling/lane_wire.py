"""What a gateway and the process that keeps a spool for it say to each other, over a pair of sockets."""

import struct

import msgspec

PREAMBLE = struct.Struct("<I")
"""Length of the first message: what the process needs to know."""
APPEND = struct.Struct("<III")
"""Before each append: length of its content, its records, the bytes of their values."""
ANSWER = struct.Struct("<IIQ")
"""How many appends more are durable, the length of the `Report` that follows (0: none), the bytes that wait."""


class Handed(msgspec.Struct, array_like=True, frozen=True):
    """An append to the log: its seconds, and the code of the error if it failed."""

    topic: str
    records: int
    size: int
    seconds: float
    error: str | None


class Report(msgspec.Struct, array_like=True, frozen=True):
    """What went on to the log since the last report; `refused`: records set aside, by topic."""

    appends: list[Handed]
    refused: dict[str, int]


encode_report = msgspec.msgpack.Encoder().encode
decode_report = msgspec.msgpack.Decoder(Report).decode


def appends_in(received: bytearray) -> list[tuple[bytes, int, int]]:
    """(content, records, size) of every append that is whole; they are taken from `received`."""
    found, at = [], 0
    while at + APPEND.size <= len(received):
        length, records, size = APPEND.unpack_from(received, at)
        start = at + APPEND.size
        if start + length > len(received):
            break
        at = start + length
        found.append((bytes(received[start:at]), records, size))
    del received[:at]
    return found


def answers_in(received: bytearray) -> list[tuple[int, int, Report | None]]:
    """(durable, waiting, report) of every answer that is whole; they are taken from `received`."""
    found, at = [], 0
    while at + ANSWER.size <= len(received):
        durable, length, waiting = ANSWER.unpack_from(received, at)
        start = at + ANSWER.size
        if start + length > len(received):
            break
        at = start + length
        found.append((durable, waiting, decode_report(received[start:at]) if length else None))
    del received[:at]
    return found

"""What a gateway and the process that keeps a spool for it say to each other, over a pair of sockets."""

import struct

import msgspec

PREAMBLE = struct.Struct("<I")
"""Length of the first message: what the process needs to know."""
APPEND = struct.Struct("<III")
"""Before each append: length of its content, its records, the bytes of their values."""
ANSWER = struct.Struct("<IIQ")
"""Length of the `Report` that follows (0: none), how many appends more are durable, the bytes that wait."""


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
    return [(content, records, size) for (_, records, size), content in _whole(received, APPEND)]


def answers_in(received: bytearray) -> list[tuple[int, int, Report | None]]:
    """(durable, waiting, report) of every answer that is whole; they are taken from `received`."""
    return [
        (durable, waiting, decode_report(report) if report else None)
        for (_, durable, waiting), report in _whole(received, ANSWER)
    ]


def _whole(received: bytearray, head: struct.Struct) -> list[tuple[tuple[int, int, int], bytes]]:
    """Heads, which begin with the length of their bodies, and bodies."""
    found, at = [], 0
    while at + head.size <= len(received):
        first, second, third = head.unpack_from(received, at)
        start = at + head.size
        if start + first > len(received):
            break
        at = start + first
        found.append(((first, second, third), bytes(received[start:at])))
    del received[:at]
    return found

"""Which ids stand in raw bytes, whatever these are: JSON, msgpack, or neither."""

import re
from collections.abc import Iterator

from ingest.rules import ID_CHARACTERS, SAFE_ID

_ID = SAFE_ID.pattern.encode()
_CHARACTER = f"[{ID_CHARACTERS}]".encode()
_WORD = re.compile(rb"(?<!" + _CHARACTER + rb")" + _ID + rb"(?!" + _CHARACTER + rb")")
_SAFE = re.compile(_ID)
_HEADER = re.compile(rb"(?:[\xa1-\xbf]|\xd9[\x01-\x80])(?=[A-Za-z0-9])")
"""Before a string of msgpack: its length in five bits, or in a byte of its own."""


def ids_in(raw: bytes) -> Iterator[str]:
    """Every word that could be an id (`ingest.rules.SAFE_ID`), bounded by what no id consists of; some come twice.

    Strings of msgpack have no quotes: their lengths and what follows them may look like a part of them. So where the
    bytes are no text, strings as long as their headers say are words as well.
    """
    for word in _WORD.finditer(raw):
        yield word.group().decode()
    if not _is_text(raw):
        for header in _HEADER.finditer(raw):
            length = header.group()[-1] & 0x1F if len(header.group()) == 1 else header.group()[-1]
            string = raw[header.end() : header.end() + length]
            if _SAFE.fullmatch(string) is not None:
                yield string.decode()


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True

"""What decoding of foreign bytes raises, in one place: each reader that knew only a part of it answered 500."""

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Of these msgspec.DecodeError alone is msgspec's own: bytes in a text that are no UTF-8 raise UnicodeDecodeError,
arrays nested thousands deep RecursionError."""

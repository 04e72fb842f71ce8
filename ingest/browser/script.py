"""The browser script as it is served: the readable file without its comments and needless spaces."""

import hashlib
import re
from functools import lru_cache
from importlib.resources import files

SOURCE = "plaudit-feedback.js"
_COMMENT = re.compile(r"^\s*//")
_TEXTS = re.compile(r"""("[^"]*"|`[^`]*`)""")
_SPACES = re.compile(r" ?([=+*<>?:,{}()&|]) ?")


@lru_cache(maxsize=1)
def script() -> tuple[bytes, str]:
    """(JavaScript in UTF-8, its entity tag)."""
    source = files("ingest.browser").joinpath(SOURCE).read_text(encoding="utf-8")
    served = stripped(source).encode()
    return served, f'"{hashlib.sha256(served).hexdigest()[:16]}"'


def stripped(source: str) -> str:
    """Comments, empty lines, indentation and the spaces around operators taken away; texts and line ends stay, since
    a line end may end a statement.

    Only right for sources whose comments have lines of their own, whose texts stand on one line in double quotes or
    backquotes, and that never need a space between two plus signs.
    """
    lines = (line.strip() for line in source.splitlines() if not _COMMENT.match(line))
    return "".join(_squeezed(line) + "\n" for line in lines if line)


def _squeezed(line: str) -> str:
    parts = _TEXTS.split(line)  # every second part is a text
    return "".join(part if i % 2 else _SPACES.sub(r"\1", part) for i, part in enumerate(parts))

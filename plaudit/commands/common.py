"""What commands share: how they print, and how a failure becomes one line and an exit code."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from infra.contracts import PlauditError
    from infra.runtime import Context
    from infra.settings import Settings

USAGE_EXIT = 2
"""Exit code of a command that could not do what was asked, for a reason a person can mend."""


def settings() -> "Settings":
    """The settings of this invocation: `--config` or $PLAUDIT_CONFIG or ./plaudit.toml, under PLAUDIT_* variables."""
    from infra.settings import load_settings

    return load_settings()


def console() -> "Console":
    """Standard output, with colours where it is a terminal."""
    from rich.console import Console

    return Console(soft_wrap=True, highlight=False)


@contextlib.contextmanager
def opened(process: str) -> "Iterator[Context]":
    """A context for a command whose standard output is its answer: the log goes to standard error."""
    from infra.runtime import configure_logging, open_context

    current = settings()
    configure_logging(current, process=process, stream=sys.stderr)
    context = open_context(current)
    try:
        yield context
    finally:
        context.close()


def fail(error: "PlauditError") -> NoReturn:
    """One red line on standard error, no traceback, exit 2."""
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}{error.code}: {error.message}{plain}", file=sys.stderr)
    sys.exit(USAGE_EXIT)


def group(help_text: str) -> typer.Typer:
    """A group of commands that shows its help when called without one."""
    return typer.Typer(help=help_text, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

"""The product's source as syntax trees."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGES = ("plaudit", "serving", "policy_update", "reward_model", "ab_testing", "ingest", "infra")


class Module(NamedTuple):
    """One source file; `path` is relative to the repository."""

    path: str
    text: str
    tree: ast.Module


@cache
def modules() -> tuple[Module, ...]:
    """Every Python file of the product, migrations left out: Alembic writes those."""
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    kept = [file for file in files if "migrations/versions" not in file.as_posix()]
    return tuple(
        Module(str(file.relative_to(ROOT)), text := file.read_text(encoding="utf-8"), ast.parse(text)) for file in kept
    )


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imported_names(tree: ast.Module, package: str) -> set[str]:
    """What `from package[...] import ...` brings in, anywhere in the file; `import package` counts as `*`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == package:
            names.update(alias.name for alias in node.names)
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] == package for alias in node.names):
            names.add("*")
    return names

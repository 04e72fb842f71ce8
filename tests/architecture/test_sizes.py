"""Files and functions stay small enough to be read at a sitting."""

import ast

from tests.architecture.source import functions, modules

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 40
"""Without the docstring: a formula and its source may take the room they need."""


def test_files_are_short() -> None:
    long = {module.path: n for module in modules() if (n := module.text.count("\n")) > MAX_FILE_LINES}
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{module.path}:{function.name}": n
        for module in modules()
        for function in functions(module.tree)
        if (n := code_lines(function)) > MAX_FUNCTION_LINES
    }
    assert long == {}


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, the docstring left out."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_the_measure_leaves_the_docstring_out() -> None:
    tree = ast.parse('def f(\n    x,\n):\n    """One.\n\n    Two."""\n    y = x\n    return y\n')
    (function,) = functions(tree)
    assert code_lines(function) == 5

"""What other files may call says what it does."""

import ast

from tests.architecture.source import modules


def test_public_functions_and_classes_have_docstrings() -> None:
    silent = [
        f"{module.path}:{node.lineno} {node.name}"
        for module in modules()
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and ast.get_docstring(node) is None
    ]
    assert silent == []


def test_modules_have_docstrings() -> None:
    silent = [module.path for module in modules() if module.text.strip() and ast.get_docstring(module.tree) is None]
    assert silent == []

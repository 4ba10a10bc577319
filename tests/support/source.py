"""Python code as text."""

from __future__ import annotations

import ast


def code(function: ast.FunctionDef) -> str:
    """The statements of a function, without its docstring."""
    return "\n".join(map(ast.unparse, function.body[1:]))

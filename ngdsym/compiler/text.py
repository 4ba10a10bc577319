"""Text of emitted modules: documented functions, the names that are taken, and the helpers that they call."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from keyword import iskeyword
from pathlib import Path

from sympy import Basic, Expr, MatrixSymbol, Symbol

WIDTH = 118
LINALG = Path(__file__).parents[2] / "ngdnum" / "rules" / "linalg.py"
"""The torch functions that emitted code is built from: a module of ngdnum, read here as text."""
HEAD = """from __future__ import annotations

import torch
from torch import Tensor"""
ORDER = ("Lambda_tilde", "Lambda", "lam")


@dataclass(frozen=True)
class Argument:
    """An argument of an emitted function: its type, what it means, and its default."""

    kind: str
    meaning: str = ""
    default: str = ""


def function_source(name: str, arguments: dict[str, Argument], returns: str, doc: list[str], lines: list[str]) -> str:
    """Function of these arguments, with `doc` and `lines` for its docstring and its body."""
    inputs = ", ".join(f"{name}: {a.kind}" + (f" = {a.default}" if a.default else "") for name, a in arguments.items())
    head = f"def {name}({inputs}) -> {returns}:"
    if len(head) > WIDTH:
        head = f"def {name}(\n    {inputs}\n) -> {returns}:"
    quotes = 'r"""' if any("\\" in line for line in doc) else '"""'
    text = [f"{quotes}{doc[0]}", *doc[1:], '"""'] if len(doc) > 1 else [f'{quotes}{doc[0]}"""']
    return f"{head}\n" + textwrap.indent("\n".join([*text, *lines]), "    ")


def sections(arguments: dict[str, Argument], returns: str, result: str, raises: str = "") -> list[str]:
    """NumPy-style sections of a docstring."""
    documented = [(f"{name} : {a.kind}", f"    {a.meaning}") for name, a in arguments.items()]
    found = {
        "Parameters": [line.rstrip() for pair in documented for line in pair if line.strip()],
        "Returns": [returns, *("    " + line for line in textwrap.wrap(result, WIDTH - 8))],
        "Raises": ["torch.linalg.LinAlgError", f"    {raises}"] if raises else [],
    }
    return [line for title, body in found.items() if body for line in ("", title, "-" * len(title), *body)]


@cache
def functions_of(path: Path) -> dict[str, str]:
    """Source of each function of a module by name."""
    text = path.read_text(encoding="utf-8")
    functions = [f for f in ast.parse(text).body if isinstance(f, ast.FunctionDef)]
    return {f.name: ast.get_source_segment(text, f) or "" for f in functions}


def helpers() -> dict[str, str]:
    """Source of each function of `ngdnum/rules/linalg.py` by name."""
    return functions_of(LINALG)


def called_helpers(text: str) -> list[str]:
    """Names of the helpers that a module calls itself, in the order of their file."""
    used = called(text)
    return [name for name in helpers() if name in used]


def alone(functions: Iterable[str]) -> str:
    """Module of `functions` that needs nothing but torch: it brings the helpers that they use."""
    body = "\n\n\n".join(function.strip("\n") for function in functions)
    defined = helpers()
    used: set[str] = set()
    new = called(body) & defined.keys()
    while new:
        used |= new
        new = set().union(*(called(defined[name]) for name in new)) & defined.keys() - used
    return "\n\n\n".join([HEAD, *(text for name, text in defined.items() if name in used), body]) + "\n"


def called(text: str) -> set[str]:
    """Names of the functions called in `text`."""
    calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    return {function.id for function in calls if isinstance(function, ast.Name)}


# --- names ----------------------------------------------------------------------------------------


def check_names(expression: Basic) -> None:
    """Raise ValueError unless every symbol can be a parameter of an emitted function, and only one by its name."""
    taken = {"state", "torch", "Tensor"} | helpers().keys()
    scalars, matrices = expression.atoms(Symbol), expression.atoms(MatrixSymbol)
    for name in sorted(parameter(symbol) for symbol in scalars | matrices):
        if not name.isidentifier() or iskeyword(name) or name in taken:
            raise ValueError(f"{name!r} cannot be a parameter of Python code: give that symbol another name")
    named: dict[str, Symbol | MatrixSymbol] = {parameter(matrix): matrix for matrix in matrices}
    for scalar in sorted(scalars, key=str):
        if named.setdefault(parameter(scalar), scalar) != scalar:
            raise ValueError(
                f"two different symbols, one of them a number, would be the parameter {parameter(scalar)!r}: rename one"
            )


def parameter(symbol: Symbol | MatrixSymbol) -> str:
    """Python name of a parameter: λ is `lam`, since `lambda` is a keyword."""
    return "lam" if symbol.name == "lambda" else str(symbol.name)


def canonical(name: str) -> tuple[int, str]:
    """Order of parameters: Λ̃, Λ, λ, then by name."""
    return ORDER.index(name) if name in ORDER else len(ORDER), name


# --- lines ----------------------------------------------------------------------------------------


def pack(names: list[str]) -> str:
    """Tuple of names as written on either side of an assignment."""
    return f"{names[0]}," if len(names) == 1 else ", ".join(names) or "()"


def wrap(formula: str) -> list[str]:
    """Formula as a displayed equation, broken at spaces."""
    lines = textwrap.wrap(
        f".. math:: {formula}", WIDTH - 4, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return ["", *lines]


def plain(polynomial: Expr) -> str:
    """Polynomial as read in print: `m³/3 + 2·m·n²`."""
    return str(polynomial).replace("**2", "²").replace("**3", "³").replace("*", "·")

"""Check of the matrices that come with a certificate: that they are what the letters are said to be, and keep the
assumptions."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from fractions import Fraction
from operator import add, mul, sub, truediv

from ngdsym.proof.checker import Refused

Rows = list[list[Fraction]]


def exemplify(data: Mapping) -> None:
    """Raise `Refused` unless the matrices of `data["witness"]`, if any, keep shapes, properties and assumptions."""
    matrices, sizes = data["witness"].get("matrices"), data["witness"].get("sizes")
    if matrices is None:
        return
    values = {x: [[Fraction(c) for c in row] for row in rows] for x, rows in matrices.items()}
    for x, (_, _, t) in data["letters"].items():
        values.setdefault(x, [list(column) for column in zip(*values[t])] if t in values else [])
    for x, (rows, cols, t) in data["letters"].items():
        if [len(row) for row in values[x]] != [sizes[cols]] * sizes[rows] or not values[x]:
            raise Refused(f"the example of {x} has the wrong shape")
        if values[x] != [list(column) for column in zip(*values[t])]:
            raise Refused(f"the examples of {x} and its transpose {t} disagree")
    for x, kind in data.get("positive", {}).items():
        if not positive(values[x], kind == "pd"):
            raise Refused(f"the example of {x} is not positive")
    for name, number in sizes.items():
        if not name.isidentifier() and _number(ast.parse(name, mode="eval").body, sizes) != number:
            raise Refused(f"the example has {name} = {number}")
    for k, polynomial in enumerate(data["assumptions"]):
        rest: dict[tuple[int, int], Fraction] = {}
        (word, *_) = [word for _, word in polynomial if word]
        size = len(values[word[0]])
        for c, word in polynomial:
            product = [[Fraction(i == j) for j in range(size)] for i in range(size)]
            for x in word:
                product = [[sum(map(mul, row, column)) for column in zip(*values[x])] for row in product]
            for i, row in enumerate(product):
                for j, entry in enumerate(row):
                    rest[i, j] = rest.get((i, j), 0) + Fraction(c) * entry
        if any(rest.values()):
            raise Refused(f"the example breaks assumption {k}")


def positive(A: Rows, definite: bool) -> bool:
    """Exact test by symmetric elimination: no negative pivot, and a zero pivot only with a zero row."""
    A = [list(row) for row in A]
    for k in range(len(A)):
        pivot = A[k][k]
        if pivot < 0 or pivot == 0 and (definite or any(A[k][k:])):
            return False
        for i in range(k + 1, len(A)):
            factor = A[i][k] / pivot if pivot else 0
            A[i] = [a - factor * b for a, b in zip(A[i], A[k])]
    return True


_OPERATIONS: Mapping[type, Callable[..., Fraction]] = {
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
    ast.Pow: pow,
}


def _number(node: ast.AST, sizes: Mapping[str, int]) -> Fraction:
    """What a size such as 2*n + 1 is; a name of no symbol raises KeyError."""
    match node:
        case ast.Constant(int() as value):
            return Fraction(value)
        case ast.Name(name):
            return Fraction(sizes[name])
        case ast.UnaryOp(ast.USub(), inner):
            return -_number(inner, sizes)
        case ast.BinOp(left, sign, right):
            a, b = _number(left, sizes), _number(right, sizes)
            return _OPERATIONS[type(sign)](a, b)
    raise ValueError(f"{ast.unparse(node)} is no size")

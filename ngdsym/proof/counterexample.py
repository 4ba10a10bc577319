"""Counterexamples: exact matrices that satisfy the assumptions of a statement and violate a claim, and their
check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ngdsym.proof.example import Rows, positive
from ngdsym.proof.sizes import numbers, size


@dataclass(frozen=True)
class Counterexample:
    """Matrices over the rationals.

    Attributes
    ----------
    statement : letters, assumptions and claims, as in a certificate.
    sizes : the number each dimension stands for.
    matrices : letter → rows of fractions; transposes are understood.
    positive : letters that have to be positive definite (`"pd"`) or semidefinite (`"psd"`).
    """

    statement: dict
    sizes: dict[str, int]
    matrices: dict[str, Rows]
    positive: dict[str, str]

    def check(self) -> bool:
        """Whether every assumption holds and some claim fails: exact, and sharing nothing with the search."""
        return self.keeps_assumptions() and not self.keeps_claims()

    def keeps_assumptions(self) -> bool:
        """Whether shapes, symmetry, positivity and all assumptions are as stated."""
        sizes = [size(vertex) for vertex in self.sizes if not vertex.isidentifier()]
        symbols = {symbol: self.sizes.get(str(symbol), 0) for vertex in sizes for symbol in vertex.free_symbols}
        agreed = numbers(sizes, symbols)
        return (
            agreed is not None
            and agreed.items() <= self.sizes.items()
            and all(self._well_shaped(x) for x in self.statement["letters"])
            and all(positive(self.matrices[x], kind == "pd") for x, kind in self.positive.items())
            and all(_vanishes(self.value(p)) for p in self.statement["assumptions"])
        )

    def keeps_claims(self) -> bool:
        """Whether all claims hold."""
        return all(_vanishes(self.value(p)) for p in self.statement["claims"])

    def value(self, polynomial: list) -> Rows:
        """A polynomial `[[coefficient, [letter, …]], …]` at the matrices."""
        letters = self.statement["letters"]
        word = next(word for _, word in polynomial if word)
        rows, cols = self.sizes[letters[word[0]][0]], self.sizes[letters[word[-1]][1]]
        total = [[Fraction(0)] * cols for _ in range(rows)]
        for c, word in polynomial:
            product = self._matrix(word[0]) if word else [[Fraction(i == j) for j in range(rows)] for i in range(rows)]
            for x in word[1:]:
                product = _multiply(product, self._matrix(x))
            total = [[a + Fraction(c) * b for a, b in zip(p, q)] for p, q in zip(total, product)]
        return total

    def _matrix(self, name: str) -> Rows:
        if name in self.matrices:
            return self.matrices[name]
        return [list(column) for column in zip(*self.matrices[name.removesuffix("'")])]

    def _well_shaped(self, name: str) -> bool:
        rows, cols, transpose = self.statement["letters"][name]
        A = self._matrix(name)
        return (
            len(A) == self.sizes[rows]
            and all(len(row) == self.sizes[cols] for row in A)
            and (name != transpose or A == [list(column) for column in zip(*A)])
        )

    def __str__(self) -> str:
        lines = []
        for name, rows in self.matrices.items():
            head, *tail = _grid(rows)
            lines += [f"{name} = {head}"] + [" " * (len(name) + 3) + line for line in tail]
        for claim in self.statement["claims"]:
            value = self.value(claim)
            if not _vanishes(value):
                lines += [f"broken: {_text(claim)} = 0, the left side is", *_grid(value)]
        return "\n".join(lines)

    def _repr_latex_(self) -> str:
        rows = [rf"\mathtt{{{name}}} &= {_latex(value)}" for name, value in self.matrices.items()]
        rows += [
            rf"\mathtt{{{_text(claim)}}} &= {_latex(self.value(claim))} \neq 0"
            for claim in self.statement["claims"]
            if not _vanishes(self.value(claim))
        ]
        return "$$\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}$$"


def _multiply(A: Rows, B: Rows) -> Rows:
    columns = list(zip(*B))
    return [[sum((a * b for a, b in zip(row, column)), Fraction(0)) for column in columns] for row in A]


def _vanishes(A: Rows) -> bool:
    return not any(x for row in A for x in row)


def _grid(rows: Sequence[Sequence]) -> list[str]:
    width = max((len(str(x)) for row in rows for x in row), default=1)
    return [f"[{', '.join(str(x).rjust(width) for x in row)}]" for row in rows]


def _text(polynomial: list) -> str:
    terms = []
    for c, word in polynomial:
        size = abs(Fraction(c))
        letters = " ".join(word) or "1"
        terms.append(("- " if Fraction(c) < 0 else "+ ") + (letters if size == 1 else f"{size} {letters}"))
    return " ".join(terms).removeprefix("+ ")


def _latex(rows: Rows) -> str:
    body = r" \\ ".join(" & ".join(map(str, row)) for row in rows)
    return rf"\begin{{pmatrix}} {body} \end{{pmatrix}}"

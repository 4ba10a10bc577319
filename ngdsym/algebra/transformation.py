"""Changes of basis as types: a matrix M that becomes l M r has the type (l, r)."""

from __future__ import annotations

from dataclasses import dataclass, replace


class NotCovariant(Exception):
    """Why no type can be given."""


@dataclass(frozen=True)
class Letter:
    """A basis change, perhaps inverted or transposed; of an orthogonal one the inverse is the transpose."""

    name: str
    orthogonal: bool = False
    inverted: bool = False
    transposed: bool = False

    def inverse(self) -> Letter:
        return replace(self, inverted=not self.inverted).normal()

    def transpose(self) -> Letter:
        return replace(self, transposed=not self.transposed).normal()

    def normal(self) -> Letter:
        if self.name == "1":
            return ONE
        if self.orthogonal and self.transposed:
            return replace(self, inverted=not self.inverted, transposed=False)
        return self

    def __str__(self) -> str:
        signs = {(0, 0): "", (1, 0): "⁻¹", (0, 1): "ᵀ", (1, 1): "⁻ᵀ"}
        return self.name + signs[self.inverted, self.transposed]


ONE = Letter("1", orthogonal=True)
Pair = tuple[Letter, Letter]
Types = frozenset[Pair] | None
"""All types of a matrix; None for the identity, which has each similarity for a type."""


def describe(matrix: object, types: frozenset[Pair]) -> str:
    left, right = min(types, key=str)
    return f"{matrix} → {left} ({matrix}) {right}"

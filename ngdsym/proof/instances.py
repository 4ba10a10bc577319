"""Exact rational matrices that keep assumptions, by guessing letters and solving for others.

The matrices of one attempt are chosen letter by letter. A letter given by an equation (X = expression, an
inverse, a Moore–Penrose inverse) is computed; any other is drawn from structured families, or, once
assumptions bind it to letters already chosen, from the exact solutions of those that are linear in it.
Quadratic ones of the kind X M X = X are met by replacing a solution X by X M X; a candidate that misses an
assumption is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import reduce
from itertools import combinations
from math import inf
from random import Random
from time import process_time

from sympy import QQ
from sympy.polys.matrices import DomainMatrix
from sympy.polys.matrices.exceptions import DMNonInvertibleMatrixError

from ngdsym.proof.counterexample import Counterexample
from ngdsym.proof.problem import Problem
from ngdsym.proof.sizes import numbers
from ngdsym.proof.words import Equation, Polynomial, penrose

Formulas = dict[str, list[tuple[set[str], str, Polynomial]]]
"""For each letter the assumptions determine: (letters needed, "value", "inverse" or "pinv", of what)."""


def instances(problem: Problem, seed: int, attempts: int, deadline: float = inf) -> Iterator[Counterexample]:
    """Exact matrices that satisfy the assumptions, smallest sizes first, until `time.process_time()` is `deadline`."""
    sizes_of = problem.letters.sizes.values()
    formulas = _formulas(problem)
    symbols = sorted({symbol for expression in sizes_of for symbol in expression.free_symbols}, key=str)
    for attempt in range(attempts):
        if process_time() > deadline:
            return
        rng = Random(1_000_003 * seed + attempt)
        largest = 1 + min(2, 6 * attempt // attempts)
        sizes = numbers(sizes_of, {symbol: rng.randint(1, largest) for symbol in symbols})
        if sizes is None:
            continue
        attempted = _Attempt(problem, formulas, sizes, rng)
        if attempted.met:
            values = attempted.values
            matrices = {
                name: [[Fraction(int(x.numerator), int(x.denominator)) for x in row] for row in _rows(values[name])]
                for name in problem.letters.names
                if name in values
            }
            found = Counterexample(problem.data(), sizes, matrices, problem.letters.positive)
            if found.keeps_assumptions():
                yield found


def witness(problem: Problem, attempts: int = 12) -> dict:
    """Matrices that keep the assumptions, as a certificate records them, with as few zero letters as were found.

    A `note` says that none were found, or which letters are zero in all of them.
    """
    found: Counterexample | None = None
    nonzero: set[str] = set()
    for example in instances(problem, 0, attempts):
        here = {name for name, rows in example.matrices.items() if any(map(any, rows))}
        if found is None or len(here) > sum(any(map(any, rows)) for rows in found.matrices.values()):
            found = example
        nonzero |= here
        if len(here) == len(example.matrices):
            break
    if found is None:
        return {
            "note": "no matrices up to 3×3 were found that keep the assumptions; if there are none, this proves nothing"
        }
    record = {
        "sizes": found.sizes,
        "matrices": {name: [[str(c) for c in row] for row in rows] for name, rows in found.matrices.items()},
    }
    zero = [name for name in found.matrices if name not in nonzero]
    if not zero:
        return record
    return {
        **record,
        "note": f"{', '.join(zero)} {'is' if len(zero) == 1 else 'are'} zero in all matrices found "
        "that keep the assumptions",
    }


class _Attempt:
    """One choice of matrices, `values[name]`; `met` is False when some assumption could not be met."""

    def __init__(self, problem: Problem, formulas: Formulas, sizes: dict[str, int], rng: Random) -> None:
        self.letters, self.sizes, self.rng = problem.letters, sizes, rng
        self.constraints = [(p, _names(p)) for p in (e.difference for e in problem.stated)]
        self.formulas = formulas
        self.values: dict[str, DomainMatrix] = {}
        self.met = True
        self._cache: dict[str, DomainMatrix] = {}
        free = [name for name in self.letters.names if not name.endswith("'")]
        rng.shuffle(free)
        while free:
            name = next((x for x in free if self._computable(x)), None) or next(
                (x for x in free if x not in self.formulas), free[0]
            )
            free.remove(name)
            value = next(self._candidates(name), None)
            if value is None:
                self.met = False
                return
            self._assign(name, value)

    def _computable(self, name: str) -> bool:
        return any(needs <= self.values.keys() for needs, _, _ in self.formulas.get(name, ()))

    def _candidates(self, name: str) -> Iterator[DomainMatrix]:
        """Values that satisfy every assumption in which `name` is the only letter not yet chosen."""
        known = self.values.keys() | {name}
        bound = [p for p, names in self.constraints if name in names and names <= known]
        for proposal in self._proposals(name, bound):
            for value in (proposal, self._reflexive(name, proposal, bound)):
                if value is not None and self._fits(name, value, bound):
                    yield value

    def _proposals(self, name: str, bound: list[Polynomial]) -> Iterator[DomainMatrix]:
        for needs, kind, inner in self.formulas.get(name, ()):
            if needs <= self.values.keys():
                value = self.evaluate(inner)
                value = {"value": lambda A: A, "inverse": _inverse, "pinv": pinv}[kind](value)
                if value is not None:
                    yield value
                return
        linear = [
            p for p in bound if all(sum(x in (name, name + "'") for x in self.letters.spell(w)) < 2 for w in p.terms)
        ]
        if linear:
            yield from self._solutions(name, linear)
        else:
            for _ in range(8 if bound else 1):
                yield self._draw(name)

    def _fits(self, name: str, value: DomainMatrix, bound: list[Polynomial]) -> bool:
        self._assign(name, value)
        fits = value.shape == self._shape(name) and all(self.evaluate(p).is_zero_matrix for p in bound)
        self._forget(name)
        return fits

    def _reflexive(self, name: str, value: DomainMatrix, bound: list[Polynomial]) -> DomainMatrix | None:
        """X M X for an assumption X M X = X."""
        (code,) = self.letters[name].terms
        for p in bound:
            others = [w for w in p.terms if w != code]
            if code in p.terms and others and all(len(w) > 1 and w[0] == w[-1] == code for w in others):
                self._assign(name, value)
                c = p.terms[code]
                value = value - self.evaluate(p) * QQ(c.denominator, c.numerator)
                self._forget(name)
                return value
        return None

    def _solutions(self, name: str, linear: list[Polynomial]) -> Iterator[DomainMatrix]:
        """Points of the affine space of X with p(X) = 0 for all `linear` p, one of them of least norm."""
        basis = self._basis(name)

        def residual(value: DomainMatrix) -> list:
            self._assign(name, value)
            flat = [x for p in linear for row in _rows(self.evaluate(p)) for x in row]
            self._forget(name)
            return flat

        zero = DomainMatrix.zeros(self._shape(name), QQ)
        constant = residual(zero)
        columns = [[a - b for a, b in zip(residual(E), constant)] for E in basis]
        system = DomainMatrix(
            [list(row) for row in zip(*columns, [-x for x in constant])], (len(constant), len(basis) + 1), QQ
        )
        reduced, pivots = system.to_field().rref()
        if len(basis) in pivots:
            return
        rows = _rows(reduced)
        point = [QQ(0)] * len(basis)
        for r, pivot in enumerate(pivots):
            point[pivot] = rows[r][-1]
        directions = []
        for j in set(range(len(basis))) - set(pivots):
            direction = [QQ(int(i == j)) for i in range(len(basis))]
            for r, pivot in enumerate(pivots):
                direction[pivot] = -rows[r][j]
            directions.append(direction)

        def combine(weights: list) -> DomainMatrix:
            total = zero
            for c, E in zip(point, basis):
                total = total + E * c
            for w, direction in zip(weights, directions):
                for c, E in zip(direction, basis):
                    total = total + E * (c * w)
            return total

        order = [self._least_norm(point, directions)] + [
            [QQ(self.rng.randint(-1, 1)) for _ in directions] for _ in range(3 if directions else 0)
        ]
        self.rng.shuffle(order)
        yield from map(combine, order)

    @staticmethod
    def _least_norm(point: list, directions: list[list]) -> list:
        if not directions:
            return []
        N = DomainMatrix(directions, (len(directions), len(point)), QQ)
        x = DomainMatrix([[c] for c in point], (len(point), 1), QQ)
        return [-row[0] for row in _rows((N * N.transpose()).inv() * (N * x))]

    def _basis(self, name: str) -> list[DomainMatrix]:
        """Basis of the matrices `name` can be: all, or the symmetric ones."""
        rows, cols = self._shape(name)
        symmetric = name + "'" not in self.letters
        return [
            DomainMatrix(
                [
                    [QQ(int((r, c) == (i, j) or symmetric and (c, r) == (i, j))) for c in range(cols)]
                    for r in range(rows)
                ],
                (rows, cols),
                QQ,
            )
            for i in range(rows)
            for j in range(cols)
            if not symmetric or i <= j
        ]

    def _draw(self, name: str) -> DomainMatrix:
        """A matrix of a random family: integers, low rank, identity, nilpotent, projector or zero."""
        rows, cols = self._shape(name)
        kind = self.letters.positive.get(name)
        if kind:
            S = self._integers(rows, rows)
            return S * S.transpose() + _eye(rows, rows) * QQ(int(kind == "pd"))
        families = ["integers"] * 4 + ["low rank", "identity", "nilpotent", "projector", "zero"]
        family = self.rng.choice(families)
        A = self._integers(rows, cols)
        if family == "low rank":
            A = self._integers(rows, 1) * self._integers(1, cols)
        elif family == "identity":
            A = _eye(rows, cols)
        elif family == "nilpotent":
            A = DomainMatrix(
                [[x if j > i else QQ(0) for j, x in enumerate(row)] for i, row in enumerate(_rows(A))], (rows, cols), QQ
            )
        elif family == "projector" and rows == cols:
            u = self._integers(rows, 1)
            A = u * pinv(u)
        elif family == "zero":
            A = DomainMatrix.zeros((rows, cols), QQ)
        if name + "'" not in self.letters and A != A.transpose():
            A = A + A.transpose()
        return A

    def _integers(self, rows: int, cols: int) -> DomainMatrix:
        return DomainMatrix([[QQ(self.rng.randint(-1, 1)) for _ in range(cols)] for _ in range(rows)], (rows, cols), QQ)

    def evaluate(self, p: Polynomial) -> DomainMatrix:
        """The polynomial at the chosen matrices."""
        assert p.type is not None, "an equation has a type, and so has its difference"
        rows, cols = (self.sizes[v] for v in p.type)
        total = DomainMatrix.zeros((rows, cols), QQ).to_dense()
        for word, c in p.terms.items():
            value = reduce(DomainMatrix.matmul, map(self._cache.__getitem__, word)) if word else _eye(rows, cols)
            total = total.add(value if c == 1 else value * QQ(c.numerator, c.denominator))
        return total

    def _shape(self, name: str) -> tuple[int, int]:
        rows, cols = self.letters.types[name]
        return self.sizes[rows], self.sizes[cols]

    def _assign(self, name: str, value: DomainMatrix) -> None:
        self.values[name] = value = value.to_dense()
        (code,) = self.letters[name].terms
        self._cache[code] = value
        self._cache[self.letters.transpose(code)] = value.transpose()

    def _forget(self, name: str) -> None:
        del self.values[name]


def _formulas(problem: Problem) -> Formulas:
    letters = problem.letters
    formulas: Formulas = {}
    stated = [p for e in problem.assumptions for p in (e.difference, e.difference.T)]
    facts = [p.terms for p in stated] + [(-p).terms for p in stated]

    def holds(equations: list[Equation]) -> bool:
        return all(e.difference.terms in facts for e in equations)

    for e in problem.assumptions:
        for side, other in ((e.left, e.right), (e.right, e.left)):
            if len(side.terms) == 1 and list(side.terms.values()) == [1]:
                ((word,),) = (side.terms,)
                name = letters.spell(word)[0] if len(word) == 1 else None
                if name and not name.endswith("'") and name not in _names(other):
                    formulas.setdefault(name, []).append((_names(other), "value", other))
    for name, (inner, mark) in letters.inverted.items():
        formulas.setdefault(name, []).append((_names(inner), {"⁻¹": "inverse", "⁺": "pinv"}[mark], inner))
    plain = [name for name in letters.names if not name.endswith("'")]
    for name, partner in combinations(plain, 2):
        A, X = letters[name], letters[partner]
        if letters.types[name] == letters.types[partner][::-1]:
            if holds([Equation(A * X, letters.one), Equation(X * A, letters.one)]):
                formulas.setdefault(partner, []).append(({name}, "inverse", A))
            elif holds(penrose(A, X)):
                formulas.setdefault(partner, []).append(({name}, "pinv", A))
    return formulas


def _names(p: Polynomial) -> set[str]:
    return {x.removesuffix("'") for word in p.terms for x in p.letters.spell(word)}


def _rows(A: DomainMatrix) -> list[list]:
    return A.to_dense().to_list()


def _eye(rows: int, cols: int) -> DomainMatrix:
    return DomainMatrix([[QQ(int(i == j)) for j in range(cols)] for i in range(rows)], (rows, cols), QQ)


def _inverse(A: DomainMatrix) -> DomainMatrix | None:
    try:
        return A.inv() if A.shape[0] == A.shape[1] else None
    except DMNonInvertibleMatrixError:
        return None


def pinv(A: DomainMatrix) -> DomainMatrix:
    """Moore–Penrose inverse `Rᵀ(R Rᵀ)⁻¹ (CᵀC)⁻¹Cᵀ` from a full-rank factorisation A = C R, exact."""
    reduced, pivots = A.rref()
    if not pivots:
        return DomainMatrix.zeros(A.shape[::-1], QQ)
    R, C = reduced.extract(range(len(pivots)), range(A.shape[1])), A.extract(range(A.shape[0]), pivots)
    return R.transpose() * (R * R.transpose()).inv() * (C.transpose() * C).inv() * C.transpose()

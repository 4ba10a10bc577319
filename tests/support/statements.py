"""Random statements, and matrices with which their hypotheses hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from sympy import Eq, Identity, Inverse, MatMul, MatrixSymbol, Q, Rational, ZeroMatrix, symbols

from ngdsym.algebra.symbols import PD, PSD, Pinv

Word = tuple[tuple[str, bool], ...]


Sum = tuple[tuple[Fraction, Word], ...]


NAMES = ("A", "B", "Lambda", "Sigma_tilde", "X_1", "E", "Λ", "Q", "N", "beta", "A_B", "S")


VERTICES = ("n", "m", "n + 1", "2*n", "n", "1", "2")


SIZES = ({"n": 2, "m": 3}, {"n": 1, "m": 2}, {"n": 3, "m": 1})


@dataclass
class Case:
    """A statement, and matrices that keep its hypotheses at each of SIZES."""

    types: dict[str, tuple[str, str]] = field(default_factory=dict)
    symmetric: set[str] = field(default_factory=set)
    positive: dict[str, str] = field(default_factory=dict)
    inverses: dict[str, str] = field(default_factory=dict)
    pinvs: dict[str, str] = field(default_factory=dict)
    hypotheses: list[tuple[Sum, Sum]] = field(default_factory=list)
    values: dict[str, list[np.ndarray]] = field(default_factory=dict)
    claim: tuple[Sum, Sum] = ((), ())

    def evaluate(
        self,
        terms: Sum,
        kind: tuple[str, str],
        value: Callable[[str], np.ndarray],
        number: Callable[[str], int],
        exact: bool,
    ) -> np.ndarray:
        total = np.zeros((number(kind[0]), number(kind[1])), dtype=object if exact else float)
        for c, word in terms:
            product = np.eye(number(kind[0]), dtype=int).astype(total.dtype)
            for name, turned in word:
                product = product @ (value(name).T if turned else value(name))
            total = total + (c if exact else float(c)) * product
        return total

    def kind(self, terms: Sum) -> tuple[str, str] | None:
        word = next((word for _, word in terms if word), ())
        if not word:
            return None
        ends = [self.types[name][::-1] if turned else self.types[name] for name, turned in (word[0], word[-1])]
        return ends[0][0], ends[1][1]

    def gap(
        self, equation: tuple[Sum, Sum], value: Callable[[str], np.ndarray], number: Callable[[str], int], exact: bool
    ) -> tuple[float, float]:
        """Largest entry of left − right, and of the sides."""
        kind = self.kind(equation[0]) or self.kind(equation[1])
        left, right = (self.evaluate(side, kind, value, number, exact) for side in equation)
        return float(abs(left - right).max()), float(max(1, abs(left).max(), abs(right).max()))


def number(vertex: str, sizes: dict[str, int]) -> int:
    return {"n + 1": sizes["n"] + 1, "2*n": 2 * sizes["n"], "1": 1, "2": 2}.get(vertex, sizes.get(vertex, 0))


def term(*letters: str, c: int = 1) -> tuple[Fraction, Word]:
    """A word of letters, a prime transposing."""
    return Fraction(c), tuple((x.removesuffix("'"), x.endswith("'")) for x in letters)


ONE, ZERO = (term(),), ()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    case, rng = Case(), np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vertices = draw(st.lists(st.sampled_from(VERTICES), min_size=1, max_size=2))
    names = draw(st.permutations(NAMES))[: draw(st.integers(2, 4))]
    for name in names:
        _letter(draw, case, name, vertices, rng)
    kind = draw(st.sampled_from(("random", "consequence", "consequence", "near")))
    words = [_word(draw, case) for _ in range(draw(st.integers(1, 2)))]
    if kind == "random" or not case.hypotheses:
        other = draw(_like(case, words[0]))
        case.claim = ((Fraction(1), words[0]),), ((Fraction(draw(st.sampled_from((1, 2, -1)))), other),)
    else:
        left, right = draw(st.sampled_from(case.hypotheses))
        turned = draw(st.booleans())
        if turned:
            left, right = _transposed(left), _transposed(right)
        ends = case.kind(left) or case.kind(right)
        before, after = _ending(draw, case, ends[0]), _starting(draw, case, ends[1])
        left, right = (tuple((c, before + w + after) for c, w in side) for side in (left, right))
        if kind == "near":
            left = tuple((c * 2, w) for c, w in left)
        case.claim = left, right
    if case.kind(case.claim[0]) is None and case.kind(case.claim[1]) is None:
        name = names[0]
        case.claim = (term(name),), (term(name),)
    return case


def _letter(draw: st.DrawFn, case: Case, name: str, vertices: list[str], rng: np.random.Generator) -> None:
    rows, cols = draw(st.sampled_from(vertices)), draw(st.sampled_from(vertices))
    kinds = ["free", "zero", "pinv", "sum", "gram"]
    square = [
        "symmetric",
        "psd",
        "pd",
        "projector",
        "orthogonal projector",
        "orthogonal",
        "nilpotent",
        "one",
        "inverse",
        "symmetric pseudo-inverse",
    ]
    kind = draw(st.sampled_from(kinds + square * (rows == cols)))
    old = [x for x in case.types]
    shapes = [(number(rows, s), number(cols, s)) for s in SIZES]
    values = [rng.standard_normal(shape) for shape in shapes]
    symmetric = [v + v.T for v in values] if rows == cols else values
    case.types[name] = rows, cols
    if kind in ("symmetric", "symmetric pseudo-inverse"):
        case.symmetric.add(name)
        values = symmetric
    elif kind in ("psd", "pd"):
        case.symmetric.add(name)
        case.positive[name] = kind
        values = [v @ v.T + (kind == "pd") * np.eye(len(v)) for v in values]
    elif kind == "zero":
        case.hypotheses.append(((term(name),), ZERO))
        values = [0 * v for v in values]
    elif kind == "one":
        c = draw(st.sampled_from((1, 2)))
        case.hypotheses.append(((term(name),), (term(c=c),)))
        values = [c * np.eye(len(v)) for v in values]
    elif kind in ("projector", "orthogonal projector"):
        ranks = [rng.integers(0, len(v) + 1) for v in values]
        bases = [np.linalg.qr(v)[0] if "orth" in kind else v for v in values]
        values = [v @ np.diag([1.0] * r + [0.0] * (len(v) - r)) @ np.linalg.inv(v) for v, r in zip(bases, ranks)]
        case.hypotheses.append(((term(name, name),), (term(name),)))
        if "orth" in kind:
            case.hypotheses.append(((term(name + "'"),), (term(name),)))
    elif kind == "orthogonal":
        values = [np.linalg.qr(v)[0] for v in values]
        case.hypotheses += [((term(name + "'", name),), ONE), ((term(name, name + "'"),), ONE)]
    elif kind == "nilpotent":
        values = [_square_zero(v) for v in values]
        case.hypotheses.append(((term(name, name),), ZERO))
    elif kind == "sum" and old:
        word = draw(_ways(case, (rows, cols), 3))
        if word:
            c = draw(st.sampled_from((1, -2)))
            case.hypotheses.append(((term(name),), ((Fraction(c), word),)))
            values = [
                case.evaluate(
                    ((Fraction(c), word),), (rows, cols), lambda x: case.values[x][i], lambda v: number(v, s), False
                )
                for i, s in enumerate(SIZES)
            ]
    elif kind == "gram" and old:
        base = draw(st.sampled_from(old))
        case.types[name] = (case.types[base][1],) * 2
        case.hypotheses.append(((term(name),), (term(base + "'", base),)))
        values = [v.T @ v for v in case.values[base]]
    case.values[name] = values
    if kind in ("inverse", "pinv", "symmetric pseudo-inverse"):
        partner = name + "i"
        case.types[partner] = cols, rows
        table = case.inverses if kind == "inverse" else case.pinvs
        table[name] = partner
        if kind == "symmetric pseudo-inverse":
            case.symmetric.add(partner)
        case.values[partner] = [np.linalg.pinv(v, rcond=1e-10) for v in values]


def _square_zero(v: np.ndarray) -> np.ndarray:
    return np.outer(v[:, 0], np.linalg.svd(v[:, :1].T)[2][-1]) if len(v) > 1 else 0 * v


def _starts(case: Case, vertex: str) -> list[tuple[str, bool]]:
    return [
        (name, turned)
        for name, kind in case.types.items()
        for turned in (False, True)
        if kind[1 if turned else 0] == vertex and name in case.values
    ]


def _starting(draw: st.DrawFn, case: Case, vertex: str) -> Word:
    """A word of at most two letters that begins at a vertex."""
    word: Word = ()
    for _ in range(draw(st.integers(0, 2))):
        x = draw(st.sampled_from(_starts(case, vertex)))
        word, vertex = (*word, x), case.types[x[0]][0 if x[1] else 1]
    return word


def _ending(draw: st.DrawFn, case: Case, vertex: str) -> Word:
    return _transposed(((Fraction(1), _starting(draw, case, vertex)),))[0][1]


def _word(draw: st.DrawFn, case: Case) -> Word:
    first = draw(st.sampled_from([(x, t) for x in case.types for t in (False, True)]))
    return (first, *_starting(draw, case, case.types[first[0]][0 if first[1] else 1]))


def _ways(case: Case, kind: tuple[str, str], longest: int) -> st.SearchStrategy[Word]:
    """Words of a type, of at most `longest` letters; () stands for none."""
    found: list[Word] = []
    partial: list[tuple[Word, str]] = [((), kind[0])]
    for _ in range(longest):
        partial = [((*w, x), case.types[x[0]][0 if x[1] else 1]) for w, v in partial for x in _starts(case, v)][:200]
        found += [w for w, v in partial if v == kind[1]]
    return st.sampled_from(found or [()])


def _like(case: Case, word: Word) -> st.SearchStrategy[Word]:
    return _ways(case, case.kind(((Fraction(1), word),)), 3)


def _transposed(terms: Sum) -> Sum:
    return tuple((c, tuple((x, not turned) for x, turned in word[::-1])) for c, word in terms)


def as_text(terms: Sum, prime: str) -> str:
    return (
        " + ".join(
            f"({c}) " + " ".join(x + prime * turned for x, turned in word)
            if c >= 0
            else f"-1 ({-c}) " + " ".join(x + prime * turned for x, turned in word)
            for c, word in terms
        )
        or "0"
    )


def stated_in_text(case: Case, prime: str) -> tuple[list[str], str, dict]:
    derived = {*case.inverses.values(), *case.pinvs.values()}
    letters = dict(
        types={x: kind for x, kind in case.types.items() if x not in derived},
        symmetric=case.symmetric,
        inverses=case.inverses,
        pinvs=case.pinvs,
    )
    equations = [f"{as_text(left, prime)} = {as_text(right, prime)}" for left, right in (*case.hypotheses, case.claim)]
    return equations[:-1], equations[-1], letters


def stated_in_sympy(case: Case) -> tuple[list, Eq, dict]:
    n, m = symbols("n m", integer=True, positive=True)
    size = {"n": n, "m": m, "n + 1": n + 1, "2*n": 2 * n, "1": 1, "2": 2}
    made, facts = {}, []
    for x, (rows, cols) in case.types.items():
        base = next((b for b, partner in (*case.inverses.items(), *case.pinvs.items()) if partner == x), None)
        if base is not None:
            made[x] = (Inverse if base in case.inverses else Pinv)(made[base])
        else:
            cls = {"pd": PD, "psd": PSD}.get(case.positive.get(x), MatrixSymbol)
            made[x] = cls(x, size[rows], size[cols])
        if x in case.inverses:
            facts.append(Q.invertible(made[x]))
        if x in case.symmetric and x not in case.positive:
            facts.append(Q.symmetric(made[x]))

    def side(terms: Sum, kind: tuple[str, str]):
        total = ZeroMatrix(size[kind[0]], size[kind[1]])
        for c, word in terms:
            factors = [made[x].T if turned else made[x] for x, turned in word] or [Identity(size[kind[0]])]
            total = total + Rational(c.numerator, c.denominator) * MatMul(*factors, evaluate=False)
        return total

    equations = []
    for left, right in (*case.hypotheses, case.claim):
        kind = case.kind(left) or case.kind(right)
        equations.append(Eq(side(left, kind), side(right, kind), evaluate=False))
    return [*facts, *equations[:-1]], equations[-1], {}

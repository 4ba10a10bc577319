"""A random attack: hypotheses with matrices that satisfy them, claims of every kind, no wrong verdict.

Each try draws letters with names, sizes and properties, hypotheses, and matrices that keep them, made here with
numpy and not by the package. Then a proof must hold at the matrices, a counterexample must keep every hypothesis
and break the claim by an evaluation of our own, and no hypothesis that has matrices may be called impossible.

`python tests/test_attack.py 500 40` runs 40 times 500 tries, with the seeds 0 to 39; RECORD has the last such run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from sympy import Eq, Identity, Inverse, MatMul, MatrixSymbol, Q, Rational, ZeroMatrix, symbols

from ngdsym import prove, refute
from ngdsym.algebra.symbols import PD, PSD, Pinv
from ngdsym.proof.prover import ProofNotFound
from ngdsym.proof.refute import CounterexampleNotFound

RECORD = (
    "14,000 tries (seeds 0 to 27, 500 each), Python 3.11, SymPy 1.14.0, hypothesis 6.170.15: no wrong verdict; "
    "6714 proved, 7091 broken, 195 left open"
)

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


def attack(case: Case, spelling: str) -> set[str]:
    """What `prove` and `refute` say; AssertionError at a wrong verdict."""
    assumptions, claim, letters = stated_in_sympy(case) if spelling == "sympy" else stated_in_text(case, spelling)
    gaps = []
    for i, sizes in enumerate(SIZES):
        values, count = (lambda x: case.values[x][i]), (lambda v: number(v, sizes))
        for hypothesis in case.hypotheses:
            gap, scale = case.gap(hypothesis, values, count, False)
            assert gap <= 1e-8 * scale, "the attack itself is wrong: its matrices break a hypothesis"
        gaps.append(case.gap(case.claim, values, count, False))
    verdicts = set()
    try:
        certificate = prove(assumptions, claim, timeout=2.0, **letters)
        assert certificate.check()
        assert all(gap <= 1e-5 * scale for gap, scale in gaps), f"a falsehood is proved: {claim} from {assumptions}"
        verdicts.add("proved")
    except ProofNotFound:
        pass
    try:
        found = refute(assumptions, claim, attempts=12, **letters)
    except CounterexampleNotFound:
        return verdicts
    _examine(case, found, spelling == "sympy")
    assert not verdicts, f"both proved and broken: {claim} from {assumptions}"
    return {"refuted"}


def _examine(case: Case, found, derived: bool) -> None:
    """Whether a counterexample keeps everything that is said, letter by letter; text cannot say definite."""
    shown = dict(found.matrices)
    partners = {b: p for b, p in (*case.inverses.items(), *case.pinvs.items())}
    if derived:
        shown |= {p: shown.get(b + ("⁻¹" if b in case.inverses else "⁺")) for b, p in partners.items()}
    values = {
        x: np.array([[Fraction(c) for c in row] for row in rows], dtype=object) for x, rows in shown.items() if rows
    }

    def count(vertex: str) -> int:
        if vertex in ("1", "2"):
            return int(vertex)
        return number(vertex, {v: found.sizes.get(v, 0) for v in "nm"})

    value = values.__getitem__
    for x, A in values.items():
        if x in case.types:
            assert A.shape == tuple(map(count, case.types[x])), f"{x} has the wrong shape"
        assert x not in case.symmetric or (A == A.T).all(), f"{x} is not symmetric"
        if derived and x in case.positive:
            assert np.linalg.eigvalsh(A.astype(float)).min() >= (1e-9 if case.positive[x] == "pd" else -1e-9)
    for base, partner in partners.items():
        if base in values and partner in values:
            A, X = values[base], values[partner]
            assert (A @ X @ A == A).all() and (X @ A @ X == X).all() and (A @ X == (A @ X).T).all()
            assert (X @ A == (X @ A).T).all()
            assert base not in case.inverses or (A @ X == np.eye(len(A), dtype=int)).all()
    for hypothesis in case.hypotheses:
        assert case.gap(hypothesis, value, count, True)[0] == 0, f"{hypothesis} is broken by {found}"
    assert case.gap(case.claim, value, count, True)[0] > 0, f"the claim holds at {found}"


def tries(count: int, start: int, seen: dict[str, int]) -> Callable[[], None]:
    @seed(start)
    @settings(
        max_examples=count, deadline=None, database=None, derandomize=False, suppress_health_check=list(HealthCheck)
    )
    @given(cases(), st.sampled_from(("'", ".T", "ᵀ", "sympy", "sympy")))
    def run(case: Case, spelling: str) -> None:
        for verdict in attack(case, spelling) or {"open"}:
            seen[verdict] = seen.get(verdict, 0) + 1

    return run


def test_no_wrong_verdict() -> None:
    seen: dict[str, int] = {}
    tries(120, 0, seen)()
    assert seen["proved"] > 20 and seen["refuted"] > 20


if __name__ == "__main__":
    total: dict[str, int] = {}
    for start in range(int(sys.argv[2])):
        tries(int(sys.argv[1]), start, total)()
        print(f"seeds 0 to {start}, {sys.argv[1]} tries each: {total}", flush=True)

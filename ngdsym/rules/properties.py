"""What a rule does, decided from its formula.

A positive answer is derived; a negative one has a counterexample, checked by the emitted code too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from sympy import Basic, Expr, Identity, MatMul, MatrixSymbol, Symbol
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import PD, G, L, Pinv, lam, m, n, n_0, n_L
from ngdsym.algebra.transformation import NotCovariant
from ngdsym.compiler.compile import compile
from ngdsym.compiler.definition import Definition
from ngdsym.compiler.nodes import split_scale
from ngdsym.rules.claims import DISTINCT, Counterexample, following, homogeneous, natural
from ngdsym.rules.equivariance import c, check_covariant, degree, r, t
from ngdsym.rules.evaluate import LinearInstance
from ngdsym.rules.limits import overdamp, undamped
from ngdsym.rules.table import Table

SQUARE, WIDE, BOTTLENECK = (3, 3, 3, 3), (2, 4, 5, 2), (4, 2, 4)
GROUPS = "general linear", "orthogonal", "scalar"
SEEDS = range(3)
LOSSES = 1.0, 0.01
"""Scales of the loss: damping breaks homogeneity where it is as large as what it is added to."""
SCALARS = {lam, L, n, m, n_0, n_L}


@dataclass(frozen=True)
class Finding:
    """An answer with its grounds; `answer` is None where neither proof nor counterexample was found."""

    question: str
    answer: bool | str | Basic | None
    why: str
    counterexample: Counterexample | None = None

    @property
    def shown(self) -> str | Basic:
        """The answer as a cell of a table."""
        if isinstance(self.answer, (str, Basic)):
            return self.answer
        return {True: "yes", False: "no", None: "undecided"}[self.answer]


@dataclass(frozen=True, repr=False)
class Properties:
    """Answers about one rule; `repr` and `str` are their `table`.

    Parameters
    ----------
    exact_wide : Finding
        Is it the natural gradient of a linear network with wide hidden layers? For damped rules as λ → 0.
    exact_any : Finding
        Is it so for layers of any widths?
    general_linear, orthogonal, scalar : Finding
        Does ΔW become T ΔW R⁻¹ when the weights become T W R⁻¹?
    loss_degree : Finding
        By which power of γ is the update multiplied when the loss is multiplied by γ?
    overdamped : Finding
        What the update tends to for λ → ∞.
    factorise_flops, apply_flops : Finding
        Leading cost.
    """

    name: str
    exact_wide: Finding
    exact_any: Finding
    general_linear: Finding
    orthogonal: Finding
    scalar: Finding
    loss_degree: Finding
    overdamped: Finding
    factorise_flops: Finding
    apply_flops: Finding

    @property
    def findings(self) -> list[Finding]:
        return [value for value in vars(self).values() if isinstance(value, Finding)]

    @property
    def table(self) -> Table:
        rows = [[f.question, f.shown, f.why, str(f.counterexample or "")] for f in self.findings]
        return Table(["", self.name, "because", "counterexample"], rows)

    def __repr__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


class HasProperties(Protocol):
    """A rule, of one layer or of a network."""

    def properties(self) -> Properties: ...


@cache
def properties(rule: Definition) -> Properties:
    """Decide every property of `rule`.

    Raises
    ------
    ValueError
        If the rule has matrices whose meaning is not known here.
    """
    factorise, apply = compile(rule).flops
    rule = rule.settled()
    check_known(rule.whole)
    general_linear, orthogonal, scalar = (covariant(rule, group) for group in GROUPS)
    return Properties(
        rule.name,
        exact_wide(rule),
        exact_any(rule),
        general_linear,
        orthogonal,
        scalar,
        loss_degree(rule),
        overdamped(rule),
        Finding("FLOPs of factorise", factorise, "count of operations"),
        Finding("FLOPs of apply", apply, "count of operations"),
    )


def compare(rules: Iterable[HasProperties]) -> Table:
    """The answers about many rules, a rule in each row."""
    found = [rule.properties() for rule in rules]
    return Table(
        ["rule", *(finding.question for finding in found[0].findings)],
        [[each.name, *(finding.shown for finding in each.findings)] for each in found],
    )


# --- exactness ------------------------------------------------------------------------------------


def exact_wide(rule: Definition) -> Finding:
    """Natural gradient of wide networks, by Λ̃ = AᵀPA, Λ = BΣBᵀ and G = AᵀPZΣBᵀ (Eqs. 13–15)."""
    question = "natural gradient of wide linear nets (λ → 0)"
    try:
        rule = undamped(rule) or rule
    except ValueError as reason:
        return Finding(question, None, str(reason))
    scale, change = end_to_end(rule.whole)
    pseudo = rule.expression.has(Pinv)
    if change == MatrixSymbol("Z", *change.shape):
        where = "all hidden widths ≥ max(n_0, n_L)" if pseudo else "invertible factors"
        why = f"A ΔW B = {scale * Symbol('Z')} in every layer, for {where}"
        return Finding(question, True if scale * L == 1 else f"{scale * L} times", why)
    tried = [not_natural(rule, WIDE if pseudo else SQUARE, seed) for seed in SEEDS]
    return refuted(question, "A ΔW B is not a multiple of Z", tried)


def exact_any(rule: Definition) -> Finding:
    """Natural gradient whatever the widths: refuted by a bottleneck, never proved for one layer."""
    question = "natural gradient of any linear net (λ → 0)"
    try:
        tried = [not_natural(undamped(rule) or rule, BOTTLENECK, seed) for seed in SEEDS]
    except ValueError as reason:
        return Finding(question, None, str(reason))
    return refuted(question, "fails behind a bottleneck", tried)


def not_natural(rule: Definition, sizes: tuple[int, ...], seed: int) -> Counterexample:
    """Change of the map against the nearest multiple of its natural change."""
    claim = "the update is a multiple of the natural gradient"
    return Counterexample.to(claim, rule, LinearInstance.random(sizes, seed), natural)


def end_to_end(expression: MatrixExpr) -> tuple[Expr, MatrixExpr]:
    """A ΔW B of an undamped rule in a linear network, simplified, as a scalar and a matrix.

    Examples
    --------
    >>> from ngdsym.algebra.symbols import Lambda, Lambda_tilde
    >>> end_to_end(Pinv(Lambda_tilde) * G * Pinv(Lambda) / L)
    (1/L, Z)
    """
    outputs, inputs = (n_L, n_0) if expression.has(Pinv) else (n, m)
    A, B = MatrixSymbol("A", outputs, n), MatrixSymbol("B", m, inputs)
    P, Sigma = PD("P", outputs, outputs), PD("Sigma", inputs, inputs)
    D = MatrixSymbol("Z", outputs, inputs) * Sigma
    gradient, Lambda_tilde, Lambda = A.T * P * D * B.T, A.T * P * A, B * Sigma * B.T
    meaning = {
        "G": gradient,
        "Lambda_tilde": Lambda_tilde,
        "Lambda": Lambda,
        "D": D,
        "K_tilde": Lambda_tilde.I,
        "K": Lambda.I,
        "S_tilde": gradient * gradient.T,
        "S": gradient.T * gradient,
    }
    letters = {s: meaning[s.name] for s in expression.atoms(MatrixSymbol) if s.name in meaning}
    words = {
        (A, Pinv(Lambda_tilde), A.T): P.I,
        (B.T, Pinv(Lambda), B): Sigma.I,
        (A, Pinv(A)): Identity(outputs),
        (Pinv(B), B): Identity(inputs),
    }
    scale, product = split_scale((A * expression.xreplace(letters) * B).doit())
    factors = product.args if isinstance(product, MatMul) else [product]
    return scale, MatMul(*replace_words(list(factors), words)).doit()


def replace_words(factors: list[MatrixExpr], words: dict[tuple, MatrixExpr]) -> list[MatrixExpr]:
    """Factors of a product with each of `words` replaced: the identities of full-rank A and B."""
    for start in range(len(factors)):
        for word, value in words.items():
            if tuple(factors[start : start + len(word)]) == word:
                return replace_words([*factors[:start], value, *factors[start + len(word) :]], words)
    return factors


# --- covariance and scale -------------------------------------------------------------------------


def covariant(rule: Definition, group: str) -> Finding:
    """Does W → T W R⁻¹ carry ΔW along, for T and R in `group`?"""
    question = f"{group} changes of basis"
    try:
        if group == "scalar":
            power = degree(rule.whole, t, r)
            if power != t - r:
                raise NotCovariant(f"T = τ, R = ρ multiply it by τ^({power.coeff(t)}) ρ^({power.coeff(r)})")
        else:
            check_covariant(rule.whole, orthogonal=group == "orthogonal")
        return Finding(question, True, "types of the factors")
    except NotCovariant as reason:
        return refuted(question, str(reason), [not_covariant(rule, group, seed) for seed in SEEDS])


def not_covariant(rule: Definition, group: str, seed: int) -> Counterexample:
    """Update of a middle layer after a change of basis against the changed update."""
    sizes = WIDE if rule.expression.has(Pinv) else SQUARE
    sides = following(random_bases(sizes, group, seed))
    return Counterexample.to(f"ΔW follows {group} changes of basis", rule, LinearInstance.random(sizes, seed), sides)


def random_bases(sizes: tuple[int, ...], group: str, seed: int) -> list[np.ndarray]:
    """Random changes of basis T_0 … T_L in `group`, trivial at input and output."""
    draw = np.random.default_rng(seed + 100)
    bases = [np.eye(size) for size in sizes]
    for layer, size in enumerate(sizes[1:-1], 1):
        base = draw.standard_normal((size, size))
        if group == "scalar":
            base = np.exp(draw.standard_normal()) * np.eye(size)
        bases[layer] = np.linalg.qr(base)[0] if group == "orthogonal" else base
    return bases


def loss_degree(rule: Definition) -> Finding:
    """Power of γ in the update when the loss is multiplied by γ; 0 means it does not matter."""
    question = "degree in the scale of the loss"
    try:
        return Finding(question, degree(rule.whole, c).coeff(c), "degrees of the factors")
    except NotCovariant as reason:
        claim = "ΔW is homogeneous in the loss"
        networks = [LinearInstance.random(SQUARE, seed).scaled(loss) for seed in SEEDS for loss in LOSSES]
        tried = [Counterexample.to(claim, rule, network, homogeneous) for network in networks]
        return refuted(question, str(reason), tried)


def overdamped(rule: Definition) -> Finding:
    """Leading term for λ → ∞."""
    question = "λ → ∞"
    if not rule.expression.has(lam):
        return Finding(question, "not damped", "λ does not occur")
    try:
        scale, matrix = overdamp(rule.expression)
    except ValueError as reason:
        return Finding(question, None, str(reason))
    small = "steepest descent" if matrix == G else f"no steepest descent: the direction tends to {matrix}"
    return Finding(question, scale * matrix, small)


# --- shared ---------------------------------------------------------------------------------------


def refuted(question: str, why: str, tried: Iterable[Counterexample]) -> Finding:
    """Negative finding with the clearest counterexample; undecided if there is none."""
    best = max(tried, key=lambda example: example.distance)
    if best.distance > DISTINCT:
        return Finding(question, False, why, best)
    return Finding(question, None, f"no proof ({why}), and no counterexample")


def check_known(expression: MatrixExpr) -> None:
    """Raise ValueError unless every letter of a rule has a meaning or a value."""
    known = LinearInstance.random(BOTTLENECK).letters(1)
    unknown = sorted(s.name for s in expression.atoms(MatrixSymbol) if s.name not in known)
    if unknown:
        raise ValueError(
            f"what {', '.join(unknown)} means is not known, so the rule cannot be judged; known are {', '.join(known)}"
        )
    free = sorted(s.name for s in expression.free_symbols - expression.atoms(MatrixSymbol) - SCALARS)
    if free:
        raise ValueError(f"the rule depends on {', '.join(free)}: give numbers, as in expression.subs({free[0]}, 1)")

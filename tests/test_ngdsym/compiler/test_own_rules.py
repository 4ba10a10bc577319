"""A rule of one's own: its code computes its formula, cheaply, or is refused with the remedy."""

from __future__ import annotations

import ast
import random
from types import SimpleNamespace

import pytest
import torch
from sympy import Expr, HadamardProduct, Identity, KroneckerProduct, MatrixSymbol, Rational, Symbol, Trace, sin, sqrt
from torch import Tensor

from ngdsym import Rule
from ngdsym.algebra.symbols import G_0, PD, PSD, G, L, Lambda, Lambda_tilde, Pinv, Polar, Unvec, k, lam, m, n
from ngdsym.compiler.chain import Join, associate, nominal
from ngdsym.rules.rule import Update, emit
from support.matrices import BATCH, covariance, error, gaussian, inv, power
from support.source import code

half = Rational(1, 2)


E, X = PD("Lambda_tilde", n, n), PD("Lambda", m, m)


H, Q = MatrixSymbol("H", n, m), MatrixSymbol("Q", n, n)


def load(source: str) -> SimpleNamespace:
    """The emitted module, which imports torch only."""
    lines = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
    assert lines == ["from __future__ import annotations", "import torch", "from torch import Tensor"]
    names: dict = {}
    exec(source, names)
    return SimpleNamespace(**names)


N, M, DAMPING = 5, 7, 0.3


e, x, g = covariance(N, 1, 40), covariance(M, 2, 40), gaussian(BATCH, N, M)


g_0 = 0.3 * gaussian(BATCH, N, M, seed=5) - g  # against g, so that traces of their product are negative


one_n, one_m = torch.eye(N, dtype=torch.float64), torch.eye(M, dtype=torch.float64)


GIVEN = {"Lambda_tilde": e, "Lambda": x, "lam": DAMPING, "L": 4, "G": g, "G_0": g_0, "beta": 0.25, "q": -0.7}


beta, q = Symbol("beta", positive=True), Symbol("q", real=True)


I_n, I_m = Identity(n), Identity(m)


OWN = {
    "one-sided root": ((Lambda_tilde + lam * I_n) ** -half * G, power(e + DAMPING * one_n, -0.5) @ g),
    "cube root": (G * (Lambda + lam * I_m) ** -Rational(1, 3), g @ power(x + DAMPING * one_m, -1 / 3)),
    "free exponent": ((Lambda_tilde + lam * I_n) ** -beta * G, power(e + DAMPING * one_n, -0.25) @ g),
    "its own Gram": ((G * G.T + lam * I_n).I * G, inv(g @ g.mT + DAMPING * one_n) @ g),
    "traces": (
        G * (Lambda / Trace(Lambda) + lam * I_m).I,
        g @ inv(x / x.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None] + DAMPING * one_m),
    ),
    "difference": (G - lam * E.I * G * X.I / L, g - DAMPING * inv(e) @ g @ inv(x) / 4),
    "a float": (0.1 * G * 0.5, 0.05 * g),
    "a float as exponent": ((Lambda_tilde + 0.5 * I_n) ** -0.25 * G, power(e + 0.5 * one_n, -0.25) @ g),
    "a real exponent": ((Lambda_tilde + lam * I_n) ** q * G, power(e + DAMPING * one_n, -0.7) @ g),
    "an indefinite trace": (
        G - Trace(G.T * G_0) / Trace(G_0.T * G_0) * G_0,
        g - (g * g_0).sum((1, 2), keepdim=True) / (g_0 * g_0).sum((1, 2), keepdim=True) * g_0,
    ),
    "sizes": (G * m / n, g * M / N),
    "squares": (Lambda_tilde**2 * G * Lambda**3, e @ e @ g @ x @ x @ x),
    "pseudo-inverse": (G * Pinv(Lambda), g @ inv(x)),
    "stacked": (Unvec(KroneckerProduct(X, E).I, G), inv(e) @ g @ inv(x)),
    "product inverted": ((E * (Lambda_tilde + I_n)).I * G, inv(e + one_n) @ inv(e) @ g),
}


def run(source: str, given: dict) -> Tensor:
    module = load(source)

    def call(function, *first):
        names = function.__code__.co_varnames[len(first) : function.__code__.co_argcount]
        return function(*first, **{name: given[name] for name in names})

    return call(module.apply, given["G"], call(module.factorise))


@pytest.mark.parametrize("name", OWN)
def test_a_rule_of_ones_own_matches_its_formula(name):
    expression, expected = OWN[name]
    assert error(run(Rule("mine", expression).emit(), GIVEN), expected) < 1e-12


@pytest.mark.parametrize("name", OWN)
def test_the_code_of_a_wrong_formula_is_noticed(name):
    """The same rule with a stray Λ̃, and with the gradient's sign turned."""
    expression, expected = OWN[name]
    for wrong in (Lambda_tilde * expression, -expression):
        assert error(run(Rule("mine", wrong).emit(), GIVEN), expected) > 1e-2


@pytest.mark.parametrize("solver", ["cholesky", "inverse", "low_rank"])
def test_the_solver_changes_the_code_but_not_the_value(solver):
    expression = (Lambda_tilde + lam * I_n).I * G * (Lambda + lam * I_m).I
    source = Rule("mine", expression).emit(solver)
    assert error(run(source, GIVEN), inv(e + DAMPING * one_n) @ g @ inv(x + DAMPING * one_m)) < 1e-12
    fast = code(ast.parse(source).body[-1])
    assert ("cholesky_solve" in fast, "leading_sandwich" in fast) == (solver == "cholesky", solver == "low_rank")


def test_nothing_is_computed_twice_and_nothing_slow_in_the_fast_part():
    """A factor that occurs three times is decomposed once, in `factorise`."""
    root = (Lambda_tilde + lam * I_n) ** -half
    source = Rule("mine", root * Polar(root * G) + root * G).emit()
    slow, fast = map(code, ast.parse(source).body[-2:])
    assert slow.count("definite_power(") == 1
    assert fast.count("definite_power(") == 0


def test_products_are_associated_by_cost():
    """With few columns, U (Uᵀ G) takes fewer operations than (U Uᵀ) G; an n×n factor is applied as it is."""
    U = MatrixSymbol("U", n, k)
    assert "U @ (U_t @ G)" in code(ast.parse(Rule("mine", U * U.T * G).emit()).body[-1])
    square = Rule("mine", Q * Q.T * G).emit("inverse")
    assert code(ast.parse(square).body[-1]).endswith("product @ G") and "Q @ Q.mT" in square


@pytest.mark.parametrize("seed", range(5))
def test_no_association_is_cheaper(seed):
    """Against all associations of a chain of six."""
    names = random.Random(seed).choices([n, k], k=7)
    fast = [i == 3 for i in range(6)]

    def price(i: int, split: int, j: int) -> Expr:
        flops = nominal(2 * names[i] * names[split + 1] * names[j + 1])
        return flops if any(fast[i : j + 1]) else flops / 5

    def costs(i: int, j: int) -> list[Expr]:
        return (
            [0]
            if i == j
            else [
                a + b + price(i, split, j)
                for split in range(i, j)
                for a in costs(i, split)
                for b in costs(split + 1, j)
            ]
        )

    def cost(part: Join | int, i: int, j: int) -> Expr:
        if isinstance(part, int):
            return 0
        split = next(s for s in range(i, j) if spans(part.left, i, s) and spans(part.right, s + 1, j))
        return cost(part.left, i, split) + cost(part.right, split + 1, j) + price(i, split, j)

    assert cost(associate(names, fast, [False] * 6, reuse=5), 0, 5) == min(costs(0, 5))


def spans(part: Join | int, i: int, j: int) -> bool:
    """Whether `part` is made of the factors i … j."""
    return part == i == j if isinstance(part, int) else leaves(part) == list(range(i, j + 1))


def leaves(part: Join | int) -> list[int]:
    return [part] if isinstance(part, int) else leaves(part.left) + leaves(part.right)


def test_docstring_is_the_formula():
    source = Rule("mine", G * (Lambda + sqrt(lam) * I_m).I, "half of it", "Eq. 20").emit()
    doc = ast.get_docstring(ast.parse(source).body[-2])
    assert "Half of it (Eq. 20)" in doc
    assert r"\Delta W = G \left(\sqrt{\lambda} I + \Lambda\right)^{-1}" in doc


def test_an_update_of_low_rank_is_woodburys():
    K, rows = PD("K", m, m), MatrixSymbol("X", k, m)
    module = load(emit(Update("follow", (K.I + rows.T * rows).I, "inverse of K⁻¹ + XᵀX")))
    seen = gaussian(2, M, seed=9)
    assert error(module.update(x, seen), inv(inv(x) + seen.mT @ seen)) < 1e-12


REFUSED = {
    "semidefinite inverse": (
        lambda: Lambda_tilde.I * G,
        ValueError,
        r"Lambda_tilde is only semidefinite.*add damping, as in \(Lambda_tilde \+ lam\*Identity\(n\)\), "
        r"or take the pseudo-inverse Pinv\(Lambda_tilde\)",
    ),
    "semidefinite root": (lambda: G * Lambda**-half, ValueError, r"only semidefinite.*\*\*\(-1/2\)"),
    "difference": (lambda: (E - I_n).I * G, ValueError, "not known to be invertible: declare it with PD"),
    "general inverse": (lambda: Q.I * G, ValueError, "Q is not known to be invertible: declare it with PD"),
    "general root": (lambda: Q**half * G, ValueError, "symmetric positive semidefinite.*PSD or PD"),
    "product": (lambda: Lambda * G, ValueError, r"cannot multiply Lambda \(m×m\) by G \(n×m\): m columns"),
    "sum": (lambda: G + Lambda, ValueError, r"cannot add .*Lambda \(m×m\).*: sizes differ"),
    "shape of the update": (lambda: G.T, ValueError, "the rule is m×n, but the weights it updates are n×m"),
    "no gradient": (lambda: Lambda_tilde * H, ValueError, "does not contain its gradient G"),
    "text": (lambda: "G", TypeError, r"matrix expression such as Lambda_tilde\*G, not 'G'"),
    "scalar": (lambda: lam, TypeError, "a rule is a matrix expression"),
    "entrywise product": (lambda: HadamardProduct(G, H), TypeError, "use sums, products, powers, Pinv"),
    "function": (lambda: sin(lam) * G, TypeError, r"cannot lower the scalar sin\(lambda\)"),
    "not square": (lambda: G * PSD("S", m, n) * G, ValueError, "symmetric matrix is square, but S is m×n"),
    "keyword": (lambda: MatrixSymbol("class", n, n) * G, ValueError, "'class' cannot be a parameter"),
    "number called like a matrix": (lambda: Symbol("G") * G, ValueError, "two different symbols.*'G'"),
    "two numbers of one name": (lambda: Symbol("lam") * lam * G, ValueError, "two different symbols.*'lam'"),
    "taken name": (lambda: MatrixSymbol("state", n, n) * G, ValueError, "'state' cannot be a parameter"),
    "Kronecker factors in the wrong order": (
        lambda: Unvec(KroneckerProduct(Lambda_tilde, Lambda), G),
        ValueError,
        "here A is m×m and B is n×n",
    ),
    "two sizes of one letter": (
        lambda: MatrixSymbol("V", n, k) * MatrixSymbol("V", k, n) * G,
        ValueError,
        "two matrices are called V, of sizes [nk]×[nk] and [nk]×[nk]",
    ),
    "two kinds of one letter": (
        lambda: E.I * MatrixSymbol("Lambda_tilde", n, n) * G,
        ValueError,
        "two matrices are called Lambda_tilde, and only one of them is PSD or PD",
    ),
    "a size of no matrix": (lambda: k * G, ValueError, "the size k in k is that of no matrix in the rule"),
    "no Kronecker product": (lambda: Unvec(PD("F", n * m, n * m).I, G), ValueError, "not made of Kronecker"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_computed_is_refused_with_the_remedy(name):
    make, kind, message = REFUSED[name]
    with pytest.raises(kind, match=message):
        Rule("mine", make()).emit()


def test_remedies_in_messages_work():
    for remedy in ((Lambda_tilde + lam * I_n).I * G, Pinv(Lambda_tilde) * G):
        assert error(run(Rule("mine", remedy).emit(), GIVEN | {"lam": 0.0}), inv(e) @ g) < 1e-12


@pytest.mark.parametrize("name", ["my rule", "2nd", ""])
def test_names_are_identifiers(name):
    with pytest.raises(ValueError, match="is not an identifier"):
        Rule(name, G)


def test_solvers_are_known():
    for refused in (lambda: Rule("mine", G).emit("lu"), lambda: Rule("mine", G, solver="lu")):
        with pytest.raises(ValueError, match="a solver is one of cholesky, inverse, low_rank, not 'lu'"):
            refused()

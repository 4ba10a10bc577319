"""Nothing of the project passes through SymPy's own wrong answers (`findings/`)."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from sympy import Eq, Identity, Inverse, MatrixSymbol, Q, ask, symbols
from sympy.matrices.expressions.kronecker import KroneckerProduct, combine_kronecker
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym import LinearNetwork, Rule, prove, refute
from ngdsym.algebra.symbols import PD, G, Lambda, Lambda_tilde, Pinv, Unvec, lam, m, n, positive
from ngdsym.theorems import theorems


@pytest.fixture
def fenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name under which the package could have these functions, and derivatives by a matrix, raises."""

    def fence(*_: object, **__: object) -> None:
        raise AssertionError("SymPy was asked for what it answers wrongly")

    for name, module in list(sys.modules.items()):
        for attribute, value in list(vars(module).items()) if module is not None else ():
            if (name == "sympy" or name.startswith(("ngdsym", "sympy."))) and any(
                value is wrong for wrong in (ask, combine_kronecker)
            ):
                monkeypatch.setattr(module, attribute, fence)
    monkeypatch.setattr(MatrixExpr, "_eval_derivative", fence)
    monkeypatch.setattr(MatrixExpr, "_eval_derivative_matrix_lines", fence, raising=False)


A, B = MatrixSymbol("A", n, m), MatrixSymbol("B", m, n)
P = PD("P", n, n)
USES: dict[str, Callable[[], object]] = {
    "prove": lambda: prove(
        [Q.invertible(P + A * A.T), Eq(A * B, Identity(n))],
        Eq(Inverse(P + A * A.T) * (P + A * A.T) * A * B, Identity(n), evaluate=False),
    ),
    "refute": lambda: refute([Q.symmetric(A * B)], Eq(Pinv(A * B), Pinv(B) * Pinv(A), evaluate=False)),
    "positive": lambda: positive(A * Lambda * A.T),
    "emit": lambda: Rule("kronecker", Unvec(KroneckerProduct(Pinv(Lambda), Pinv(Lambda_tilde)), G)).emit(),
    "emit damped": lambda: Rule("damped", Inverse(Lambda_tilde + lam * Identity(n)) * G).emit(),
    "fisher": lambda: LinearNetwork((2, 1, 2)).fisher(),
    "gradient": lambda: LinearNetwork((1, 2, 1)).natural_gradient("exact"),
    "theorems": lambda: [t.verdicts() for t in theorems(["woodbury", "layer-flow"]).values()],
}


@pytest.mark.parametrize("use", USES)
def test_nothing_asks_sympy_for_what_it_answers_wrongly(fenced: None, use: str) -> None:
    assert USES[use]()


def test_the_fence_stops_what_it_names(fenced: None) -> None:
    import sympy

    X, k = MatrixSymbol("X", 2, 2), symbols("k")
    for wrong in (
        lambda: sympy.ask(Q.invertible(A * B)),
        lambda: sympy.Trace(X * X).diff(X),
        lambda: sympy.matrices.expressions.kronecker.combine_kronecker(X + k * X),
    ):
        with pytest.raises(AssertionError, match="wrongly"):
            wrong()


def test_a_congruence_is_called_semidefinite_at_most() -> None:
    W, S = MatrixSymbol("W", n, m), PD("S", m, m)
    assert positive(W * S * W.T) == "psd"
    assert positive(W * W.T) == "psd" and positive(A * B) is None

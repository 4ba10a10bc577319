"""The letters of a rule, with what is assumed of them in their types.

SymPy's own assumptions on matrices are not sound enough to choose a solver by: sizes of products with
inverses go unchecked and `ask(Q.positive_definite(W*S*W.T))` answers True whatever the rank of `W`. Here a
symmetric positive semidefinite matrix is a `PSD` symbol, a positive definite one a `PD` symbol, and
`positive` claims no more than follows from those types.

Examples
--------
>>> from sympy import Identity, latex, sqrt
>>> print(latex(Lambda_tilde + sqrt(lam) * Identity(n)))
\\sqrt{\\lambda} \\mathbb{I} + \\tilde{\\Lambda}
>>> positive(Lambda), positive(Lambda + lam * Identity(m)), positive(G)
('psd', 'pd', None)
"""

from __future__ import annotations

from sympy import Basic, Expr, Identity, MatAdd, MatMul, MatPow, MatrixSymbol, Symbol, Trace, Transpose, latex, symbols
from sympy.matrices.expressions.matexpr import MatrixExpr
from sympy.printing.printer import Printer

from ngdsym.algebra.operators import Operator
from ngdsym.algebra.operators import Pinv as Pinv
from ngdsym.algebra.operators import Polar as Polar

n, m, k, n_0, n_L = symbols("n m k n_0 n_L", integer=True, positive=True)
L = Symbol("L", integer=True, positive=True)
lam = Symbol("lambda", positive=True)
gamma = Symbol("gamma", positive=True)


class PSD(MatrixSymbol):
    """Symmetric positive semidefinite symbol; a name ending in `_tilde` prints with a tilde."""

    def __new__(cls, name: str, rows: Expr, columns: Expr) -> PSD:
        symbol = super().__new__(cls, name, rows, columns)
        if symbol.shape[0] != symbol.shape[1]:
            raise ValueError(f"a symmetric matrix is square, but {symbol} is {size(symbol)}")
        return symbol

    def _eval_transpose(self) -> PSD:
        return self

    def _latex(self, printer: Printer) -> str:
        letter = latex(Symbol(self.name.removesuffix("_tilde")))
        return rf"\tilde{{{letter}}}" if self.name.endswith("_tilde") else letter


class PD(PSD):
    """Symmetric positive definite symbol."""


class Unvec(MatrixExpr):
    """The matrix whose stacked columns are `K vec(X)`: a preconditioner of all parameters on a gradient."""

    def __new__(cls, operator: MatrixExpr, matrix: MatrixExpr) -> Unvec:
        return super().__new__(cls, operator, matrix)

    @property
    def shape(self) -> tuple[Expr, Expr]:
        return self.args[1].shape

    def _latex(self, printer: Printer) -> str:
        operator, matrix = map(printer._print, self.args)
        return rf"\operatorname{{vec}}^{{-1}}\left({operator} \operatorname{{vec}} {matrix}\right)"


G = MatrixSymbol("G", n, m)
G_0 = MatrixSymbol("G_0", n, m)
Lambda_tilde = PSD("Lambda_tilde", n, n)
Lambda = PSD("Lambda", m, m)

MEANING = {
    "G": "Negative gradient ⟨e xᵀ⟩ of the loss with respect to the weights.",
    "G_0": "Negative gradient at the time of the factorisation.",
    "C": "Mean of GᵀG of whitened gradients, at equal traces, until the last time; first I.",
    "Lambda_tilde": "Covariance ⟨e eᵀ⟩ of the errors under the model.",
    "Lambda": "Covariance ⟨x xᵀ⟩ of the inputs of the layer.",
    "lam": "Damping λ > 0.",
    "L": "Number of preconditioned layers.",
    "A": "Weights from the layer's output to that of the network, W_L ⋯ W_{i+1}.",
    "B": "Weights from the input of the network to that of the layer, W_{i-1} ⋯ W_1.",
    "D": "Residuals ⟨(y − f) xᵀ⟩ of the network.",
    "Sigma": "Covariance ⟨x xᵀ⟩ of the input of the network.",
    "S_tilde": "Running sum of G Gᵀ.",
    "S": "Running sum of Gᵀ G.",
    "U": "Running sum of squares of the entries of G.",
    "U_0": "The largest U until the last time.",
    "U_F": "Mean square of the entries of G in the eigenbases of both factors.",
    "U_S": "Mean square of the entries of G in the eigenbases of both running sums.",
    "U_W": "Running mean of squares of the entries of ΔW.",
    "p": "Exponent of both factors.",
    "K_tilde": "Inverse of the covariance of the errors.",
    "K": "Inverse of the covariance of the inputs.",
    "P": "Pseudo-inverse of the factor of the other layer.",
    "V": "Weights between the layers.",
    "X": "New examples in rows.",
    "gamma": "Weight γ of the past.",
    "beta": "Weight of the past in C, between 0 and 1.",
    "epsilon": "What is added to C, between 0 and 1.",
    "eta": "Weight η of each new example; (1 − γ)/k for a running mean.",
}


def positive(matrix: MatrixExpr) -> str | None:
    """Return `'pd'`, `'psd'` or None: sound, not complete.

    Sums and positive multiples of positive matrices, powers of definite and non-negative powers of
    semidefinite ones, `Aᵀ A` and `Aᵀ P A`; the last two are only ever called semidefinite, since `A` may lack
    rank.
    """
    if isinstance(matrix, (PD, Identity)):
        return "pd"
    if isinstance(matrix, PSD):
        return "psd"
    if isinstance(matrix, MatAdd):
        kinds = {positive(term) for term in matrix.args}
        return None if None in kinds else "pd" if "pd" in kinds else "psd"
    if isinstance(matrix, MatPow):
        kind = positive(matrix.base)
        return kind if kind == "pd" or matrix.exp.is_nonnegative else None
    if isinstance(matrix, Operator):
        return matrix.sign(*(positive(arg) if isinstance(arg, MatrixExpr) else None for arg in matrix.args))
    if isinstance(matrix, Transpose):
        return positive(matrix.arg)
    if isinstance(matrix, MatMul):
        scale, factors = matrix.as_coeff_matrices()
        if not is_positive(scale):
            return None
        if len(factors) == 1:
            return positive(factors[0])
        half, odd = divmod(len(factors), 2)
        mirrored = all(factors[i].T == factors[-1 - i] for i in range(half))
        return "psd" if mirrored and (not odd or positive(factors[half])) else None
    return None


def is_positive(scalar: Expr) -> bool:
    """Whether a scalar is positive, a trace of a (non-zero) positive matrix counting as positive."""
    traces = {t: Symbol("t", positive=True) for t in scalar.atoms(Trace) if positive(t.arg)}
    return bool(scalar.xreplace(traces).is_positive)


def check_shapes(matrix: Basic) -> None:
    """Raise ValueError unless every sum, product, power and trace inside has fitting sizes."""
    if isinstance(matrix, MatrixSymbol):
        return
    for inner in matrix.args:
        check_shapes(inner)
    if isinstance(matrix, MatAdd):
        for term in matrix.args[1:]:
            if term.shape != matrix.args[0].shape:
                raise ValueError(f"cannot add {_sized(matrix.args[0])} and {_sized(term)}: sizes differ")
    elif isinstance(matrix, MatMul):
        factors = matrix.as_coeff_matrices()[1]
        for left, right in zip(factors, factors[1:]):
            if left.shape[1] != right.shape[0]:
                raise ValueError(
                    f"cannot multiply {_sized(left)} by {_sized(right)}: {left.shape[1]} columns meet "
                    f"{right.shape[0]} rows"
                )
    elif isinstance(matrix, (MatPow, Trace)):
        inner = matrix.args[0]
        if inner.shape[0] != inner.shape[1]:
            raise ValueError(f"{matrix} needs a square matrix, not {_sized(inner)}: use Pinv for its inverse")


def size(matrix: MatrixExpr) -> str:
    """Rows × columns, as read in print."""
    return f"{matrix.shape[0]}×{matrix.shape[1]}"


def _sized(matrix: MatrixExpr) -> str:
    return f"{matrix} ({size(matrix)})"

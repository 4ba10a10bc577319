"""A deep linear network with Gaussian outputs, derived from its log-density in explicit symbols."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag
from sympy import Expr, Matrix, MatrixBase, Symbol, log, pi
from sympy import kronecker_product as kron

from ngdsym.algebra.explicit import Exact, Field, determinant, factored, to_Matrix
from ngdsym.algebra.fields import Number
from ngdsym.algebra.substitution import SharedMatrix
from ngdsym.network.formulas import Formulas, generic_conditions
from ngdsym.network.identity import passes, prove
from ngdsym.network.points import Point, weights_at
from ngdsym.network.score import Score

KINDS = ("paper", "exact")


class LinearNetwork:
    """`y = W_L ⋯ W_1 x + ε`, ε Gaussian with covariance Σ̃, with explicit matrices of plain symbols.

    Numbers may be substituted for the symbols in every matrix a method returns, by `.subs` with a
    dictionary. Layers are counted 1 … L.
    Inverses and flows are those of generic weights, and refuse to be substituted where weights lose rank; with
    `at` they are those of the weights given, of any rank.

    Parameters
    ----------
    sizes
        `(n_0, …, n_L)`, at least two positive integers.

    Attributes
    ----------
    weights : list of Matrix
        W_1 … W_L, `W_i` of shape `n_i × n_{i-1}`.
    input_covariance : Matrix
        Σ = ⟨x xᵀ⟩, symmetric.
    output_covariance : Matrix
        Σ̃, symmetric.
    cross_covariance : Matrix
        ⟨y xᵀ⟩ of the data, `n_L × n_0`.
    x : Matrix
        Input, a column.
    y : Matrix
        Output, a column.
    noise : Matrix
        Model noise ε = y − W x, a column.

    Raises
    ------
    ValueError
        If `sizes` are not at least two positive integers.

    Examples
    --------
    >>> net = LinearNetwork((1, 1, 1))
    >>> net.fisher_block(1, 2)
    Matrix([[Sigma_11*W_1_11*W_2_11/Sigmatilde_11]])
    >>> net.flow("exact")
    Matrix([[(C_11 - Sigma_11*W_1_11*W_2_11)/Sigma_11]])
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        try:
            self.sizes = tuple(sizes)
        except TypeError:
            raise ValueError(f"sizes must be a sequence (n_0, …, n_L), got {sizes!r}") from None
        if len(self.sizes) < 2 or any(type(n) is not int or n < 1 for n in self.sizes):
            raise ValueError(f"sizes must be at least two positive integers (n_0, …, n_L), got {sizes!r}")
        n_0, n_L = self.sizes[0], self.sizes[-1]
        shapes = list(zip(self.sizes[1:], self.sizes))
        self.weights = [self._matrix(f"W_{i}", *shape) for i, shape in enumerate(shapes, 1)]
        self.input_covariance = self._symmetric("Sigma", n_0)
        self.output_covariance = self._symmetric("Sigmatilde", n_L)
        self.cross_covariance = self._matrix("C", n_L, n_0)
        self.x = Matrix([Symbol(f"x_{k + 1}") for k in range(n_0)])
        self.y = Matrix([Symbol(f"y_{k + 1}") for k in range(n_L)])
        self.noise = Matrix([Symbol(f"epsilon_{k + 1}") for k in range(n_L)])

    def __repr__(self) -> str:
        return f"LinearNetwork({self.sizes})"

    def _name(self, letter: str, row: int, column: int) -> Symbol:
        return Symbol(f"{letter}_{row + 1}{',' if max(self.sizes) > 9 else ''}{column + 1}")

    def _matrix(self, letter: str, rows: int, columns: int) -> Matrix:
        return Matrix(rows, columns, lambda a, b: self._name(letter, a, b))

    def _symmetric(self, letter: str, n: int) -> Matrix:
        return Matrix(n, n, lambda a, b: self._name(letter, min(a, b), max(a, b)))

    @property
    def L(self) -> int:
        """Number of layers."""
        return len(self.weights)

    @property
    def parameters(self) -> list[Symbol]:
        """The P weights, layer by layer, the columns of each W_i stacked."""
        return [w for W in self.weights for w in W.T]

    @cached_property
    def field(self) -> Field:
        """Rational functions of all symbols of the network."""
        covariances = [s for S in (self.input_covariance, self.output_covariance) for s in dict.fromkeys(S)]
        return Field([*self.cross_covariance, *self.parameters, *covariances, *self.x, *self.y, *self.noise])

    @cached_property
    def formulas(self) -> Formulas:
        """The exact quantities of the network, for proofs."""
        exact = self.field.exact
        return Formulas(
            self.sizes,
            tuple(map(exact, self.weights)),
            exact(self.input_covariance),
            exact(self.output_covariance),
            exact(self.cross_covariance),
        )

    # From the log-density

    def log_density(self) -> Expr:
        """`log q(y|x) = −½ (y − W x)ᵀ Σ̃⁻¹ (y − W x) − ½ log det(2π Σ̃)`."""
        f = self._readable(None)
        exponent = self.exponent(factored(self.y - self.end_to_end() * self.x), f)
        det = determinant(f.output_covariance).expression()
        return exponent.expression() - log((2 * pi) ** self.sizes[-1] * det) / 2

    def exponent(self, residual: Exact, formulas: Formulas) -> Number:
        """`−½ rᵀ Σ̃⁻¹ r`, all of the log-density that depends on the residual r = y − W x."""
        return -(residual.T @ formulas.precision @ residual)[0, 0] / 2

    @cached_property
    def derivatives(self) -> Score:
        """Derivatives of the log-density by the chain rule, as exact functions."""
        return Score(self)

    def score(self) -> Matrix:
        """`∂ log q(y|x) / ∂θ`, a column of length P, by differentiation of the log-density."""
        log_density = self.log_density()
        return Matrix([log_density.diff(w) for w in self.parameters])

    def fisher(self) -> Matrix:
        """Fisher information `F = ⟨score scoreᵀ⟩` under the model, `P × P` (Eq. 5), from the log-density."""
        outputs, inputs, places = self.derivatives.covariance_factors(
            factored(self.input_covariance), self.field.factored
        )
        E, C = to_Matrix(outputs), to_Matrix(inputs)
        return SharedMatrix([[E[a, b] * C[v, w] for b, w in places] for a, v in places])

    def loss_gradient(self, i: int) -> Matrix:
        """`∂L/∂W_i = −⟨∂ log q/∂W_i⟩`, `n_i × n_{i-1}`, averaged with ⟨y xᵀ⟩ and Σ of the data."""
        self._check_layer(i)
        return to_Matrix(self.derivatives.loss_gradient(i, self._readable(None), self.field.factored))

    # Quantities

    def _check_layer(self, i: int) -> None:
        if type(i) is not int or not 1 <= i <= self.L:
            raise ValueError(f"layers are counted 1 … {self.L}, got {i!r}")

    def backward_product(self, i: int) -> Matrix:
        """`A_i = W_L ⋯ W_{i+1}`, `n_L × n_i`."""
        self._check_layer(i)
        return self.field.to_Matrix(self.formulas.A(i))

    def forward_product(self, i: int) -> Matrix:
        """`B_i = W_{i-1} ⋯ W_1`, `n_{i-1} × n_0`."""
        self._check_layer(i)
        return self.field.to_Matrix(self.formulas.B(i))

    def end_to_end(self) -> Matrix:
        """`W = W_L ⋯ W_1`, `n_L × n_0` (Eq. 9)."""
        return self.field.to_Matrix(self.formulas.W)

    def jacobian(self) -> Matrix:
        """J, `n_L n_0 × P`: vec W (columns stacked) differentiated by the parameters."""
        return self.end_to_end().T.reshape(self.sizes[0] * self.sizes[-1], 1).jacobian(self.parameters)

    def metric(self) -> Matrix:
        """`H = Σ ⊗ Σ̃⁻¹`, the Fisher information of the map W."""
        return SharedMatrix(kron(self.input_covariance, self.field.to_Matrix(self.formulas.precision)))

    def input_factor(self, i: int) -> Matrix:
        """`Λ_{i-1} = ⟨x_{i-1} x_{i-1}ᵀ⟩ = B_i Σ B_iᵀ`, `n_{i-1} × n_{i-1}` (Eq. 15)."""
        self._check_layer(i)
        return self.field.to_Matrix(self.formulas.forward_covariance(i, i))

    def error_factor(self, i: int) -> Matrix:
        """`Λ̃_i = ⟨e_i e_iᵀ⟩ = A_iᵀ Σ̃⁻¹ A_i` under the model, `n_i × n_i` (Eq. 14)."""
        self._check_layer(i)
        return self.field.to_Matrix(self.formulas.backward_covariance(i, i))

    def fisher_block(self, i: int, j: int) -> Matrix:
        """`F_ij = B_i Σ B_jᵀ ⊗ A_iᵀ Σ̃⁻¹ A_j`, `n_i n_{i-1} × n_j n_{j-1}` (Eq. 22)."""
        self._check_layer(i)
        self._check_layer(j)
        to_Matrix = self.field.to_Matrix
        return SharedMatrix(
            kron(to_Matrix(self.formulas.forward_covariance(i, j)), to_Matrix(self.formulas.backward_covariance(i, j)))
        )

    # Natural gradient

    def generalized_inverse(self, kind: str, at: Point | None = None) -> Matrix:
        """A matrix that plays the part of F⁻¹, `P × P`.

        Parameters
        ----------
        kind
            "paper": blocks `L⁻² ⟨x_{j-1}x_{i-1}ᵀ⟩⁺ ⊗ ⟨e_j e_iᵀ⟩⁺` (Eq. 23), a generalized inverse of F iff no
            hidden layer is narrower than input or output.
            "exact": block-diagonal, `Σ 1/(β − α + 1) Dᵀ ⊗ E`, a generalized inverse for all sizes: a
            component of the map that the layers α … β can move is moved by each of them in equal parts.
        at
            Rational values of all weights, in place of generic ones.

        Raises
        ------
        ValueError
            If `kind` is neither "paper" nor "exact", or `at` lacks a weight.
        TypeError
            If a weight in `at` is no rational number.
        """
        _check_kind(kind)
        f, layers = self._readable(at), range(1, self.L + 1)
        if kind == "paper":
            rows = [np.hstack([np.kron(*f.paper_block(i, j)) for j in layers]) for i in layers]
            blocks = np.vstack(rows) / self.L**2
        else:
            blocks = block_diag(*[f.exact_block(i) for i in layers])
        return to_Matrix(blocks).where(generic_conditions(f.volumes()))

    def is_generalized_inverse(self, X: MatrixBase, proof: bool = False, timeout: float | None = None) -> bool:
        """Decide `F X F = F` in exact arithmetic.

        As `F = Jᵀ H J` with H definite, `F X F = F` iff `J X Jᵀ H J = J`. This is evaluated at two random
        points of integers from 1 … 2⁶⁴. "False" is certain. "True" is wrong with probability at most `(d
        / 2⁶⁴)²`, d the total degree of the identity with denominators cleared (Schwartz–Zippel);
        `proof=True` removes the doubt.

        Parameters
        ----------
        X
            `P × P`, rational functions of the symbols of the network.
        proof
            Whether to prove what passed as an identity of rational functions: fast up to about (3, 3, 3),
            out of reach for large X.
        timeout
            Seconds of processor time after which the proof is given up, at the next entry of a product; by default,
            none.

        Raises
        ------
        TimeoutError
            If X passed at the two points, and the proof was given up.
        ValueError
            If X is not `P × P`.
        TypeError
            If X contains anything but rational functions of the symbols of the network.

        Examples
        --------
        >>> net = LinearNetwork((2, 1, 2))
        >>> net.is_generalized_inverse(net.generalized_inverse("paper"))
        False
        >>> net.is_generalized_inverse(net.generalized_inverse("exact"), proof=True)
        True
        """
        P = len(self.parameters)
        if X.shape != (P, P):
            raise ValueError(f"a generalized inverse of F is {P} × {P}, got {X.shape[0]} × {X.shape[1]}")
        J, H = self.jacobian(), self.metric()
        holds = passes(self.field, (J, X, J.T, H, J), J)
        return holds and (not proof or prove(self.field, (J, X, J.T, H, J), J, timeout))

    def natural_gradient(self, kind: str, at: Point | None = None) -> list[Matrix]:
        """`[dW_1/dt, …, dW_L/dt]`, minus a generalized inverse times the gradient of the loss.

        Parameters
        ----------
        kind
            "paper": `(1/L) Λ̃_i⁺ G_i Λ_{i-1}⁺` (Eq. 10). "exact": minus `generalized_inverse("exact")`
            times the gradient, which is the same in wide networks and the natural gradient also in narrow
            ones.
        at
            Rational values of all weights, in place of generic ones.

        Raises
        ------
        ValueError, TypeError
            As `generalized_inverse`.
        """
        _check_kind(kind)
        f = self._readable(at)
        conditions = generic_conditions(f.volumes())
        return [to_Matrix(f.update(kind, i)).where(conditions) for i in f.layers]

    def flow(self, kind: str, at: Point | None = None) -> Matrix:
        """`dW/dt` under the natural gradient, `n_L × n_0`.

        Parameters
        ----------
        kind
            "paper": `−W + (1/L) Σ_i P_i^a W* P_i^b` (Eq. 19), which is `W* − W` (Eq. 18) in wide networks.
            "exact": `P_a Z + Z P_b − P_a Z P_b` with `Z = W* − W` and the projectors on range and row
            space of W, which is Z if no hidden layer is narrower than both input and output.
        at
            Rational values of all weights, in place of generic ones: the exact flow is then the staircase
            `Σ_i P_i^a Z (P_i^b − P_{i+1}^b)`, right for weights of any rank.

        Raises
        ------
        ValueError, TypeError
            As `generalized_inverse`.

        Examples
        --------
        >>> net = LinearNetwork((2, 2, 2))
        >>> zero = {w: 0 for w in net.parameters}
        >>> net.flow("exact", at=zero)
        Matrix([
        [0, 0],
        [0, 0]])
        >>> net.flow("exact").subs(zero)
        Traceback (most recent call last):
        ...
        ngdsym.algebra.substitution.SingularPoint: the formula is that of generic weights: ...
        """
        _check_kind(kind)
        f = self._readable(at)
        return to_Matrix(f.flow(kind)).where(generic_conditions(f.flow_volumes(kind)))

    def _readable(self, at: Point | None) -> Formulas:
        """The quantities of the network as factored expressions, the weights generic or rational numbers."""
        return Formulas(
            self.sizes,
            tuple(map(factored, self.weights)) if at is None else weights_at(self.weights, at),
            *map(factored, (self.input_covariance, self.output_covariance, self.cross_covariance)),
        )


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f'kind must be "paper" or "exact", got {kind!r}')

"""Rules in numbers: what a matrix expression is worth on the layers of a random linear network.

This evaluation by NumPy shares nothing with the lowering to torch; it serves to find counterexamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from sympy import Expr, Identity, MatAdd, MatMul, MatPow, MatrixSymbol, OneMatrix, Trace, Transpose
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.operators.operator import RANK_TOLERANCE, Operator
from ngdsym.algebra.symbols import L, lam, m, n, n_0, n_L


def evaluate(matrix: MatrixExpr, values: dict[str, np.ndarray], scalars: dict[Expr, float]) -> np.ndarray:
    """Value of `matrix`, given those of its matrix symbols by name and of its scalar symbols.

    Examples
    --------
    >>> from ngdsym.algebra.symbols import Lambda, Pinv
    >>> evaluate(lam * Pinv(Lambda), {"Lambda": np.diag([4.0, 0.0])}, {lam: 2.0})
    array([[0.5, 0. ],
           [0. , 0. ]])
    """

    def value(part: MatrixExpr) -> np.ndarray:
        if isinstance(part, MatrixSymbol):
            return values[part.name]
        if isinstance(part, Identity):
            return np.eye(int(part.shape[0].xreplace(scalars)))
        if isinstance(part, MatAdd):
            return reduce(np.add, map(value, part.args))
        if isinstance(part, MatMul):
            scale, factors = part.as_coeff_matrices()
            return number(scale) * reduce(np.matmul, map(value, factors))
        if isinstance(part, Transpose):
            return value(part.arg).T
        if isinstance(part, Operator):
            return part.value(*(value(arg) for arg in part.args if isinstance(arg, MatrixExpr)))
        if isinstance(part, OneMatrix):
            rows, columns = (int(size.xreplace(scalars)) for size in part.shape)
            return np.ones((rows, columns))
        if isinstance(part, MatPow):
            exponent = float(part.exp)
            if exponent == int(exponent):
                return np.linalg.matrix_power(value(part.base), int(exponent))
            s, V = np.linalg.eigh(value(part.base))
            kept = s > RANK_TOLERANCE * s.max()
            return (V * np.where(kept, np.where(kept, s, 1) ** exponent, 0)) @ V.T
        raise TypeError(f"no numbers for {type(part).__name__} {part}")

    def number(scalar: Expr) -> float:
        traces = {trace: np.trace(value(trace.arg)) for trace in scalar.atoms(Trace)}
        return float(scalar.xreplace(traces).xreplace(scalars))

    return value(matrix)


@dataclass(frozen=True)
class LinearInstance:
    """Random linear network with inputs of covariance Σ, noise of precision P, and least-squares map W + Z.

    Parameters
    ----------
    weights : list of ndarray
        W_1 … W_L.
    Sigma, P, Z : ndarray
        Input covariance, inverse noise covariance, and the residual map.
    """

    weights: list[np.ndarray]
    Sigma: np.ndarray
    P: np.ndarray
    Z: np.ndarray

    @property
    def sizes(self) -> tuple[int, ...]:
        """n_0 … n_L."""
        return len(self.Sigma), *(len(W) for W in self.weights)

    @classmethod
    def random(cls, sizes: tuple[int, ...], seed: int = 0) -> LinearInstance:
        draw = np.random.default_rng(seed).standard_normal
        weights = [draw((rows, columns)) for rows, columns in zip(sizes[1:], sizes)]
        Sigma, P = (draw((size, 2 * size)) for size in (sizes[0], sizes[-1]))
        return cls(weights, Sigma @ Sigma.T / len(Sigma), P @ P.T / len(P), draw((sizes[-1], sizes[0])))

    def map(self, first: int, last: int) -> np.ndarray:
        """W_last ⋯ W_first, layers counted from 1; the identity if there is none."""
        product = np.eye(self.sizes[first - 1])
        for W in self.weights[first - 1 : last]:
            product = W @ product
        return product

    def letters(self, i: int) -> dict[str, np.ndarray]:
        """Value at layer i of each matrix that a rule may mention; C is one that a memory of this layer may be."""
        A, B = self.map(i + 1, len(self.weights)), self.map(1, i - 1)
        D, Lambda_tilde, Lambda = self.Z @ self.Sigma, A.T @ self.P @ A, B @ self.Sigma @ B.T
        G, before = (A.T @ self.P @ residual @ B.T for residual in (D, self.Z[::-1, ::-1] @ self.Sigma))
        S_tilde, S = G @ G.T + before @ before.T, G.T @ G + before.T @ before

        def squares(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            return (np.linalg.eigh(left)[1].T @ G @ np.linalg.eigh(right)[1]) ** 2

        return {
            "G": G,
            "Lambda_tilde": Lambda_tilde,
            "Lambda": Lambda,
            "A": A,
            "B": B,
            "D": D,
            "Sigma": self.Sigma,
            "S_tilde": S_tilde,
            "S": S,
            "G_0": G,
            "C": np.eye(len(B)) + len(B) * (G.T @ G) / np.vdot(G, G),
            "K_tilde": np.linalg.pinv(Lambda_tilde, rcond=RANK_TOLERANCE),
            "K": np.linalg.pinv(Lambda, rcond=RANK_TOLERANCE),
            "U": G**2,
            "U_0": before**2,
            "U_W": self.weights[i - 1] ** 2,
            "U_F": squares(Lambda_tilde, Lambda),
            "U_S": squares(S_tilde, S),
        }

    def update(self, expression: MatrixExpr, i: int, damping: float) -> np.ndarray:
        """ΔW_i of a rule."""
        rows, columns = self.weights[i - 1].shape
        sizes = {n: rows, m: columns, n_0: self.sizes[0], n_L: self.sizes[-1]}
        return evaluate(expression, self.letters(i), {**sizes, lam: damping, L: len(self.weights)})

    def change(self, updates: list[np.ndarray]) -> np.ndarray:
        """First-order change Σ A_i ΔW_i B_i of the end-to-end map (Eq. 17)."""
        count = len(self.weights)
        return sum(self.map(i + 1, count) @ step @ self.map(1, i - 1) for i, step in enumerate(updates, 1))

    def natural_change(self) -> np.ndarray:
        """Change under the true natural gradient: Z projected, Fisher-orthogonally, on what weights can."""
        count = len(self.weights)
        P_root, S_root = np.linalg.cholesky(self.P).T, np.linalg.cholesky(self.Sigma)
        J = np.hstack(
            [np.kron((self.map(1, i - 1) @ S_root).T, P_root @ self.map(i + 1, count)) for i in range(1, count + 1)]
        )
        whitened = P_root @ self.Z @ S_root
        projected = J @ np.linalg.lstsq(J, whitened.flatten("F"), rcond=RANK_TOLERANCE)[0]
        return np.linalg.solve(P_root, projected.reshape(whitened.shape, order="F")) @ np.linalg.inv(S_root)

    def transformed(self, bases: list[np.ndarray]) -> LinearInstance:
        """The same map in other coordinates of the layers: W_i → T_i W_i T_{i-1}⁻¹."""
        weights = [T @ W @ np.linalg.inv(R) for W, T, R in zip(self.weights, bases[1:], bases)]
        return LinearInstance(weights, self.Sigma, self.P, self.Z)

    def scaled(self, factor: float) -> LinearInstance:
        """The same network with the loss multiplied by `factor`."""
        return LinearInstance(self.weights, self.Sigma, factor * self.P, self.Z)

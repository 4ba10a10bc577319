"""The paper's statements on deep linear networks, each decided exactly at explicit sizes.

Every function returns whether its identity holds for the given network, for all data and generic weights:
for a `LinearNetwork` by proof in the field of rational functions, for a `RationalPoint` by exact
arithmetic at that point. Flows are compared as linear maps of the residual Z, sums of terms `L Z R`, so
that no product with Z is expanded.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import flint
import numpy as np
from sympy import Matrix

from ngdsym.algebra.explicit import (
    Exact,
    identical,
    inverse,
    rank,
    unvec,
)
from ngdsym.algebra.fields import identity
from ngdsym.network.formulas import Formulas
from ngdsym.network.linear_network import LinearNetwork
from support.rational_points import RationalPoint
from support.sandwiches import sandwiches_cancel

Network = LinearNetwork | RationalPoint
Terms = list[tuple[Exact, Exact]]


# From the log-density (symbols only)


@lru_cache(maxsize=1)
def score(net: LinearNetwork) -> Matrix:
    """Differentiated by SymPy, once for all that it is compared with."""
    return net.score()


def gradient(net: LinearNetwork) -> bool:
    """`∂L/∂W_i = −A_iᵀ Σ̃⁻¹ ⟨(y − W x) xᵀ⟩ B_iᵀ` (Eqs. 7, 13)."""
    return all(
        identical(net.derivatives.loss_gradient(i, net.formulas), -negative_gradient(net.formulas, i))
        for i in net.formulas.layers
    )


def negative_gradient(f: Formulas, i: int) -> Exact:
    """`G_i = A_iᵀ Σ̃⁻¹ (⟨y xᵀ⟩ − W Σ) B_iᵀ` (Eq. 13)."""
    return f.A(i).T @ f.precision @ (f.cross_covariance - f.W @ f.input_covariance) @ f.B(i).T


def chain_rule(net: LinearNetwork) -> bool:
    """The score by the chain rule through the outputs is the log-density differentiated by SymPy."""
    return identical(net.derivatives.of_data, net.field.exact(score(net)))


def backpropagation(net: LinearNetwork) -> bool:
    """`∂ log q/∂W_i = e_i x_{i-1}ᵀ` for every x and y, e_i by the recursion (Eqs. 7, 8)."""
    x, y = net.field.exact(net.x), net.field.exact(net.y)
    errors, activations = _errors(net, y - net.formulas.W @ x), _activations(net, x)
    start, same = 0, True
    for error, activation in zip(errors, activations):
        stop = start + len(error) * len(activation)
        score = unvec(net.derivatives.of_data[start:stop], (len(error), len(activation)))
        same, start = same and identical(score, error @ activation.T), stop
    return same


def model_covariances(net: LinearNetwork) -> bool:
    """`⟨e_i e_jᵀ⟩ = A_iᵀ Σ̃⁻¹ A_j` and `⟨x_{i-1} x_{j-1}ᵀ⟩ = B_i Σ B_jᵀ` under the model (Eqs. 14, 15)."""
    f = net.formulas
    e = [_linear(net, v, net.noise) for v in _errors(net, net.field.exact(net.noise))]
    x = [_linear(net, v, net.x) for v in _activations(net, net.field.exact(net.x))]
    return all(
        identical(e[i - 1] @ f.output_covariance @ e[j - 1].T, f.backward_covariance(i, j))
        and identical(x[i - 1] @ f.input_covariance @ x[j - 1].T, f.forward_covariance(i, j))
        for i in f.layers
        for j in f.layers
    )


def score_covariance(net: LinearNetwork) -> Exact:
    """Covariance of the score of a sample `y = W x + ε`, from `E[ε εᵀ] = Σ̃`, `E[x xᵀ] = Σ`, x, ε independent.

    The log-density is differentiated by SymPy in full, without the chain rule that `LinearNetwork` uses.
    """
    f, field = net.formulas, net.field
    sample = f.W @ field.exact(net.x) + field.exact(net.noise)
    of_sample = field.exact(score(net), dict(zip(net.y, sample.flat)))
    M = [_bilinear(net, s) for s in of_sample.flat]
    moments = [f.output_covariance @ m @ f.input_covariance for m in M]
    return np.array([[np.sum(m * moment) for moment in moments] for m in M], dtype=object)


def jacobian(f: Formulas) -> Exact:
    """`[J_1 … J_L]`, `J_i = B_iᵀ ⊗ A_i`."""
    return np.hstack([np.kron(f.B(i).T, f.A(i)) for i in f.layers])


def metric(f: Formulas) -> Exact:
    """`Σ ⊗ Σ̃⁻¹`."""
    return np.kron(f.input_covariance, f.precision)


def generic_fisher_rank(sizes: tuple[int, ...]) -> int:
    """`r (n_0 + n_L − r)`, r the smallest width."""
    return min(sizes) * (sizes[0] + sizes[-1] - min(sizes))


def fisher_blocks(net: LinearNetwork) -> bool:
    """Covariance of the score = blocks `⟨x_{i-1}x_{j-1}ᵀ⟩ ⊗ ⟨e_i e_jᵀ⟩` (Eq. 22)."""
    f = net.formulas
    blocks = [[np.kron(f.forward_covariance(i, j), f.backward_covariance(i, j)) for j in f.layers] for i in f.layers]
    return identical(score_covariance(net), np.block(blocks))


def fisher_pullback(net: LinearNetwork) -> bool:
    """Covariance of the score = `Jᵀ H J`, J by differentiation of the end-to-end map."""
    J = net.field.exact(net.jacobian())
    return identical(score_covariance(net), J.T @ metric(net.formulas) @ J)


# Generalized inverses


def paper_inverse(net: Network) -> bool:
    """`F F^g F = F` for the paper's inverse (Eq. 23). True iff the network is wide.

    A random rational point is tried first: where it fails, no symbols are needed.
    """
    nets = [net] if isinstance(net, RationalPoint) else [RationalPoint(net.sizes), net]
    return all(_fixes_tangents(n.formulas, _paper_projection(n.formulas)) for n in nets)


def exact_inverse(net: Network) -> bool:
    """`F X F = F` for the block-diagonal inverse of equal shares; true for all sizes."""
    return _fixes_tangents(net.formulas, _exact_rule(net.formulas))


def row_times_gradient(net: Network) -> bool:
    """Row i of the paper's inverse times the gradient is minus Eq. 10's update. True in wide networks."""
    f = net.formulas
    return all(
        sandwiches_cancel(
            [*(_scaled(_contribution(f, i, j), 1, f.L**2) for j in f.layers), _scaled(_contribution(f, i, i), -1, f.L)]
        )
        for i in f.layers
    )


def equal_contributions(net: Network) -> bool:
    """All blocks of a row of the paper's inverse contribute the same term (SM 37). True in wide networks."""
    f = net.formulas
    return all(
        sandwiches_cancel([_contribution(f, i, j), _scaled(_contribution(f, i, i), -1)])
        for i in f.layers
        for j in f.layers
        if i != j
    )


def trace_criterion(net: Network) -> bool:
    """`tr(F^g F) = L⁻² Σ_ij rank A_min(i,j) · rank B_max(i,j)`, equal to rank F iff the network is wide."""
    f = net.formulas
    trace = flint.fmpq(0)
    for i in f.layers:
        for j in f.layers:
            D, E = f.paper_block(i, j)
            forward, backward = f.forward_covariance(j, i), f.backward_covariance(j, i)
            trace = trace + np.sum(D * forward.T) * np.sum(E * backward.T)
    ranks = sum(f.rank_A(min(i, j)) * f.rank_B(max(i, j)) for i in f.layers for j in f.layers)
    return trace == ranks and (ranks == f.L**2 * generic_fisher_rank(f.sizes)) == f.is_wide


def fisher_rank(point: RationalPoint) -> bool:
    """`rank F = rank J = r (n_0 + n_L − r)`, r the smallest width, at a rational point."""
    return rank(jacobian(point.formulas)) == generic_fisher_rank(point.sizes)


# Flows


def inverse_weights(net: Network) -> bool:
    """The update of Eq. 10 is `(1/L) A_i⁻¹ Z B_i⁻¹` (Eq. 16). For square networks."""
    f = net.formulas
    if len(set(f.sizes)) > 1:
        raise ValueError(f"Eq. 16 needs square weights, got sizes {f.sizes}")
    return all(sandwiches_cancel([_contribution(f, i, i), (-inverse(f.A(i)), inverse(f.B(i)))]) for i in f.layers)


def flow_wide(net: Network) -> bool:
    """Eq. 10 moves the map by `dW/dt = W* − W` (Eqs. 17, 18). True iff the network is wide."""
    return sandwiches_cancel(_paper_rule(net.formulas) + _minus(_identity_map(net.formulas)))


def flow_pseudo_inverse(net: Network) -> bool:
    """Eq. 10 with pseudo-inverses moves the map by `−W + (1/L) Σ P_i^a W* P_i^b` (Eq. 19)."""
    f = net.formulas
    kept = all(identical(f.P_a(i) @ f.W, f.W) and identical(f.W @ f.P_b(i), f.W) for i in f.layers)
    return kept and sandwiches_cancel(_paper_rule(f) + _minus(_projected(f)))


def paper_flow_exact(net: Network) -> bool:
    """Eq. 19 is the flow of the natural gradient. True iff the network is wide."""
    f = net.formulas
    return sandwiches_cancel(_projected(f) + _minus(_exact_flow(f)))


def exact_flow(net: Network) -> bool:
    """`P_a Z + Z P_b − P_a Z P_b` is the H-orthogonal projection of Z on range(J).

    It lies in the range (`P_a` maps into range(A_1), `P_b` into row(B_L)) and solves the normal equations
    `A_iᵀ Σ̃⁻¹ (Z − dW) Σ B_iᵀ = 0`.
    """
    f = net.formulas
    lies = identical(f.P_a(1) @ f.A(1), f.A(1)) and identical(f.B(f.L) @ f.P_b(f.L), f.B(f.L))
    left = [f.A(i).T @ f.precision for i in f.layers]
    right = [f.input_covariance @ f.B(i).T for i in f.layers]
    rest = _identity_map(f) + _minus(_exact_flow(f))
    return lies and all(sandwiches_cancel([(a @ L, R @ b) for L, R in rest]) for a, b in zip(left, right))


def staircase(net: Network) -> bool:
    """`Σ_i P_i^a Z P_i^b − Σ_i P_i^a Z P_{i+1}^b` is the exact flow."""
    f = net.formulas
    steps = [(f.P_a(i), f.P_b(i) - f.P_b(i + 1)) for i in f.layers]
    return sandwiches_cancel(steps + _minus(_exact_flow(f)))


def exact_rule(net: Network) -> bool:
    """The update in equal shares moves the map by the exact flow, for all sizes."""
    return sandwiches_cancel(_exact_rule(net.formulas) + _minus(_exact_flow(net.formulas)))


# Linear maps of Z as sums of terms L Z R


def _identity_map(f: Formulas) -> Terms:
    return [(identity(f.sizes[-1]), identity(f.sizes[0]))]


def _exact_flow(f: Formulas) -> Terms:
    a, b = f.P_a(1), f.P_b(f.L)
    return [(a, identity(f.sizes[0])), (identity(f.sizes[-1]), b), (-a, b)]


def _contribution(f: Formulas, i: int, j: int) -> tuple[Exact, Exact]:
    """`L²` × block (i, j) of the paper's inverse, applied to G_j as a map of Z."""
    D, E = f.paper_block(i, j)
    return E @ f.A(j).T @ f.precision, f.input_covariance @ f.B(j).T @ D.T


def _paper_projection(f: Formulas) -> Terms:
    """`J F^g Jᵀ H` as a map of Z."""
    return [_scaled(_moved(f, i, _contribution(f, i, j)), 1, f.L**2) for i in f.layers for j in f.layers]


def _paper_rule(f: Formulas) -> Terms:
    """Change of the map under Eq. 10."""
    return [_scaled(_moved(f, i, _contribution(f, i, i)), 1, f.L) for i in f.layers]


def _exact_rule(f: Formulas) -> Terms:
    """Change of the map under the update in equal shares, `J X Jᵀ H`."""
    return [
        (share.weight * (f.A(i) @ share.E @ f.A(i).T @ f.precision), f.input_covariance @ f.B(i).T @ share.D @ f.B(i))
        for i in f.layers
        for share in f.exact_shares(i)
    ]


def _projected(f: Formulas) -> Terms:
    """`(1/L) Σ P_i^a Z P_i^b`."""
    return [_scaled((f.P_a(i), f.P_b(i)), 1, f.L) for i in f.layers]


def _moved(f: Formulas, i: int, update: tuple[Exact, Exact]) -> tuple[Exact, Exact]:
    """`A_i dW_i B_i` of an update of layer i."""
    return f.A(i) @ update[0], update[1] @ f.B(i)


def _fixes_tangents(f: Formulas, projection: Terms) -> bool:
    """Whether a map of Z keeps every `A_k Y B_k`: for `J X Jᵀ H` this is `F X F = F`, as H is definite."""
    return all(
        sandwiches_cancel([(L @ f.A(k), f.B(k) @ R) for L, R in projection] + [(-f.A(k), f.B(k))]) for k in f.layers
    )


def _scaled(term: tuple[Exact, Exact], numerator: int, denominator: int = 1) -> tuple[Exact, Exact]:
    return flint.fmpq(numerator, denominator) * term[0], term[1]


def _minus(terms: Terms) -> Terms:
    return [(-L, R) for L, R in terms]


# Errors and activations by the recursions of a network


def _errors(net: LinearNetwork, output_error: Exact) -> list[Exact]:
    """e_1 … e_L from `e_L = Σ̃⁻¹ (y − W x)`, `e_i = W_{i+1}ᵀ e_{i+1}`."""
    errors = [net.formulas.precision @ output_error]
    for W in net.formulas.weights[:0:-1]:
        errors.insert(0, W.T @ errors[0])
    return errors


def _activations(net: LinearNetwork, x: Exact) -> list[Exact]:
    """x_0 … x_{L-1} from `x_i = W_i x_{i-1}`."""
    activations = [x]
    for W in net.formulas.weights[:-1]:
        activations.append(W @ activations[-1])
    return activations


def _linear(net: LinearNetwork, column: Exact, letters: Iterable) -> Exact:
    """Matrix M of a column `M · letters`."""
    return np.vstack([net.field.linear_part(value, letters) for value in column.flat])


def _bilinear(net: LinearNetwork, function: object) -> Exact:
    """Matrix M of a function `εᵀ M x`."""
    n, letters = len(net.noise), [*net.noise, *net.x]
    M = np.full((n, len(net.x)), flint.fmpq(0), dtype=object)
    for powers, coefficient in net.field.coefficients(function, letters).items():
        places = [p for p, k in enumerate(powers) for _ in range(k)]
        if len(places) != 2 or not places[0] < n <= places[1]:
            raise ValueError("the function is not bilinear in ε and x")
        M[places[0], places[1] - n] = coefficient
    return M

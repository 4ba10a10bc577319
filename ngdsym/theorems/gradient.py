"""Back-propagation and the gradient, by differentiating the log-density (Eqs. 7, 8, 13)."""
from __future__ import annotations

from collections.abc import Mapping

from sympy import Expr, Inverse, MatrixSymbol

from ngdsym.algebra.explicit import unvec as unstack
from ngdsym.algebra.instance import Draw
from ngdsym.network.linear_network import LinearNetwork
from ngdsym.theorems.dense import Net, unvec
from ngdsym.theorems.notation import NEIGHBOURS, A, A_i, A_j, B, G, P, Sigma, W, W_j, Wstar, d, m, n, n_i, n_j, o
from ngdsym.theorems.theorem import Theorem, eq

x, y, score = MatrixSymbol("x", d, 1), MatrixSymbol("y", o, 1), MatrixSymbol("D", n, m)
C_yx, P_out = MatrixSymbol("C_yx", o, d), MatrixSymbol("P", o, o)
LAYER, SIZES = 2, (1, 2, 1, 2)


def differentiated(draw: Draw) -> Mapping[Expr, object]:
    """∂ log q/∂W_2 and −∂L/∂W_2: by SymPy, in float64 by central differences."""
    if isinstance(draw(), float):
        net = Net(SIZES, draw)
        inputs, targets = net.generic(SIZES[0], 1), net.generic(SIZES[-1], 1)
        stacked = net.score(inputs[:, 0], targets[:, 0])[2:4]
        return {A: net.A(LAYER), B: net.B(LAYER), W: net.product(1, net.L), Sigma: net.Sigma, P_out: net.P,
                C_yx: net.Wstar @ net.Sigma, x: inputs, y: targets, score: unvec(stacked, SIZES[LAYER]),
                G: -net.derivative(net.loss, LAYER)}
    symbolic = LinearNetwork(SIZES)
    f, exact = symbolic.formulas, symbolic.field.exact
    return {A: f.A(LAYER), B: f.B(LAYER), W: f.W, Sigma: f.input_covariance, P_out: f.precision,
            C_yx: f.cross_covariance, x: exact(symbolic.x), y: exact(symbolic.y),
            G: -symbolic.derivatives.loss_gradient(LAYER, f),
            score: unstack(symbolic.derivatives.of_data[2:4], (SIZES[LAYER], SIZES[LAYER - 1]))}


DERIVATIVE = "Sizes (1, 2, 1, 2), layer 2, every number an indeterminate; P = Σ̃⁻¹."
SCORE = Theorem(
    name="linear-score",
    title="∂ log q/∂W_i = e_i x_{i-1}ᵀ with e_i = A_iᵀ Σ̃⁻¹ (y − W x) and x_{i-1} = B_i x",
    equations=("7", "8"),
    given=DERIVATIVE,
    claims=(eq(score, A.T * P_out * (y - W * x) * (B * x).T),),
    wrong=(eq(score, -A.T * P_out * (y - W * x) * (B * x).T), eq(score, A.T * (y - W * x) * (B * x).T),
           eq(score, 2 * A.T * P_out * (y - W * x) * (B * x).T)),
    values=differentiated,
    missing={"certificate": "A derivative of the log-density is no word; error-recursion certifies Eq. 8."},
)

residual = MatrixSymbol("r", o, 1)
e_i, e_j = MatrixSymbol("e_i", n_i, 1), MatrixSymbol("e_j", n_j, 1)
RECURSION = Theorem(
    name="error-recursion",
    title="Errors are sent back through the transposed weights: e_i = W_{i+1}ᵀ e_{i+1}",
    equations=("8", "12"),
    given="Layer j = i + 1; r = y − W x.",
    assumes=(NEIGHBOURS[0], eq(e_i, A_i.T * P * residual), eq(e_j, A_j.T * P * residual)),
    claims=(eq(e_i, W_j.T * e_j),),
    wrong=(eq(e_i, -W_j.T * e_j), eq(e_i, 2 * W_j.T * e_j), eq(e_i, A_i.T * residual)),
)

MEAN = Theorem(
    name="loss-gradient",
    title="−∂L/∂W_i = A_iᵀ Σ̃⁻¹ (⟨y xᵀ⟩ − W Σ) B_iᵀ = A_iᵀ Σ̃⁻¹ (W* − W) Σ B_iᵀ",
    equations=("7", "13"),
    given=DERIVATIVE + " C_yx = ⟨y xᵀ⟩ = W* Σ (least-squares-target).",
    recipes={Wstar: C_yx * Inverse(Sigma)},
    claims=(eq(G, A.T * P_out * (C_yx - W * Sigma) * B.T), eq(G, A.T * P_out * (Wstar - W) * Sigma * B.T)),
    wrong=(eq(G, A.T * P_out * (W * Sigma - C_yx) * B.T), eq(G, A.T * (C_yx - W * Sigma) * B.T),
           eq(G, A.T * P_out * (Wstar - W) * B.T), eq(G, 2 * A.T * P_out * (C_yx - W * Sigma) * B.T)),
    values=differentiated,
    missing={"certificate": "A derivative of the log-density is no word; linear-gradient goes on from here."},
)

THEOREMS = (SCORE, RECURSION, MEAN)

"""Control of step and damping: minimisers of quadratic models, derived.

Along an update the loss is modelled by its slope and by the Fisher matrix F in place of the Hessian. The
slope is that of the *negative* gradient g, so that gᵀd > 0 for a direction d of descent.
"""

from __future__ import annotations

from sympy import Expr, Float, Matrix, Piecewise, Rational, Tuple, collect, diff, expand, solve, symbols

from ngdsym.algebra.symbols import lam
from ngdsym.compiler.scalars import Formula

alpha, mu, rho, trace, curvature = symbols("alpha mu rho trace curvature", real=True)
gd, gv, dFd, dFv, vFv = symbols("gd gv dFd dFv vFv", real=True)
QUADRATIC = -alpha * trace + curvature * alpha**2 / 2
"""Change of the loss along α times an update: its slope is −`trace`, its second derivative `curvature`."""


def newton_change() -> Expr:
    """Change of the loss after α of an update whose full length, α = 1, minimises the quadratic along it.

    Examples
    --------
    >>> newton_change()
    trace*(alpha**2/2 - alpha)
    """
    (newton,) = solve(diff(QUADRATIC, alpha).subs(alpha, 1), curvature)
    return collect(expand(QUADRATIC.subs(curvature, newton)), trace)


def minimiser() -> Tuple:
    """(α, μ) that minimises the quadratic at α d + μ v.

    Examples
    --------
    >>> minimiser()[0]
    (-dFv*gv + gd*vFv)/(dFd*vFv - dFv**2)
    """
    slope, metric, steps = Matrix([gd, gv]), Matrix([[dFd, dFv], [dFv, vFv]]), Matrix([alpha, mu])
    model = (-slope.T * steps + steps.T * metric * steps / 2)[0]
    found = solve([diff(model, step) for step in steps], list(steps))
    return Tuple(*(found[step] for step in steps))


predicted_change = Formula(
    "predicted_change",
    newton_change(),
    {alpha: "Learning rate α.", trace: "Σ_i tr ΔW_iᵀ G_i, with ΔW_i the update for α = 1."},
    "Change of the loss that the quadratic model predicts for a step (footnote 1); negative for descent",
    "The predicted change.",
    {trace: r"\left(\textstyle\sum_i \operatorname{tr} \Delta W_i^\top G_i\right)"},
)

quadratic_change = Formula(
    "quadratic_change",
    QUADRATIC,
    {
        alpha: "Learning rate α.",
        trace: "Σ_i tr u_iᵀ G_i, with u_i the update for α = 1.",
        curvature: "uᵀFu of all updates together.",
    },
    "Change of the loss that the quadratic model predicts for a step whose curvature is known",
    "The predicted change.",
    {
        trace: r"\left(\textstyle\sum_i \operatorname{tr} u_i^\top G_i\right)",
        curvature: r"\left(u^\top F u\right)",
    },
)

levenberg_marquardt = Formula(
    "levenberg_marquardt",
    Piecewise((3 * lam / 2, rho < Rational(1, 4)), (2 * lam / 3, rho > Rational(3, 4)), (lam, True)),
    {lam: "Damping λ of the last step.", rho: "Actual over predicted change of the loss."},
    "Damping of the next step (Eq. 21)",
    "The new λ.",
)

step_and_momentum = Formula(
    "step_and_momentum",
    Piecewise((minimiser(), dFv**2 < Float("0.999999999999") * dFd * vFv), (Tuple(gd / dFd, 0), True)),
    {
        gd: "gᵀd, with g the negative gradient and d the new direction.",
        gv: "gᵀv, with v the last update.",
        dFd: "dᵀFd > 0; add λ‖d‖² for damping, and so on below.",
        dFv: "dᵀFv.",
        vFv: "vᵀFv.",
    },
    "Step α and momentum μ that minimise the quadratic at α d + μ v; μ = 0 where v is parallel to d",
    "α and μ.",
    {
        gd: r"\left(g^\top d\right)",
        gv: r"\left(g^\top v\right)",
        dFd: r"\left(d^\top F d\right)",
        dFv: r"\left(d^\top F v\right)",
        vFv: r"\left(v^\top F v\right)",
    },
)

FORMULAS = (predicted_change, quadratic_change, levenberg_marquardt, step_and_momentum)

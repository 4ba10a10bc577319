"""What the last step of an optimizer was made of, layer by layer, for people."""

from __future__ import annotations

import io
import math
import time
from dataclasses import astuple, dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .curvature.block import Block, Kept, applied
from .curvature.symmetric import full
from .rule import Preconditioner, Quantities
from .rules.linalg import leading_pairs
from .sizes import product_and_norms

if TYPE_CHECKING:
    from rich.table import Table

    from .figures import Picture

INVERSES = {"Lambda_tilde": "K_tilde", "Lambda": "K"}
LETTERS = {"Lambda_tilde": "Λ̃", "Lambda": "Λ"}
SYMBOLS = {"Lambda_tilde": r"$\tilde\Lambda$", "Lambda": r"$\Lambda$"}
HEADER = (
    "layer",
    "size",
    "λ",
    "",
    "condition",
    "damped",
    "rank",
    "damping",
    "left out",
    "‖ΔW‖/‖W‖",
    "age",
    "factorise",
    "apply",
)


class StepRecord(NamedTuple):
    """What is kept of a step for a report: the rule's name, the blocks, what they knew, and ‖ΔW‖ of each layer.

    That is `scale` times `lengths`, one for each layer of each stack.
    """

    rule: str
    blocks: list[Block]
    kept: list[Kept]
    scale: float
    lengths: list[float]


@dataclass(frozen=True)
class FactorReport:
    """One factor A, Λ̃ or Λ, and A + c I, of which the rule takes the inverse or a root of it.

    With convolutions in groups, a mean over the groups. Of running inverses only `damped` is known; what is
    not is NaN.

    Attributes
    ----------
    condition : float
        Largest over smallest eigenvalue; infinite if A is singular up to rounding.
    damped : float
        The same for A + c I; NaN if the rule does not damp A.
    rank : float
        Effective rank (Roy & Vetterli 2007): exp(−Σ p log p) with p the eigenvalues over their sum.
    damping : float
        Share of c I in the trace of A + c I.
    left_out : float
        ‖A − Â‖/‖A‖ (Frobenius) for a rule that keeps only the leading eigenpairs Â.
    """

    condition: float
    damped: float
    rank: float
    damping: float
    left_out: float


@dataclass(frozen=True)
class LayerReport:
    """One layer in the last step.

    Attributes
    ----------
    name : str
        In the model.
    shape : tuple of int
        (n, m) of the weight matrix, with the bias as its last column.
    lam : float
        λ at the factorisation in use, raised if a factor was nearly singular (`Inverse.retries`).
    factors : dict
        A `FactorReport` for each of "Lambda_tilde" and "Lambda" that the rule uses.
    step : float
        ‖ΔW‖/‖W‖, the length of the last step over that of the weights.
    age : int
        Steps since the factors were factorised.
    factorise_ms : float
        Time of `factorise`, measured for the report; layers treated at once share it evenly.
    apply_ms : float
        Time of `apply`, measured likewise.
    """

    name: str
    shape: tuple[int, int]
    lam: float
    factors: dict[str, FactorReport]
    step: float
    age: int
    factorise_ms: float
    apply_ms: float


@dataclass(frozen=True)
class Report:
    """Diagnostics of the last step, from `NGD.report`: print it, show it in a notebook, or draw it.

    Attributes
    ----------
    rule : str
        Name of the rule.
    steps : int
        Steps taken so far.
    layers : list of LayerReport

    Examples
    --------
    >>> from ngdnum import NGD, Gaussian
    >>> x = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    >>> model, likelihood = torch.nn.Linear(2, 1, bias=False), Gaussian()
    >>> opt = NGD(model, likelihood, samples=None)
    >>> likelihood(model(x), torch.ones(2, 1)).backward()
    >>> opt.step()
    >>> inputs = opt.report().layers[0].factors["Lambda"]  # eigenvalues 9/2 and 1/2, damped by √0.01
    >>> round(inputs.condition, 2), round(inputs.damped, 2), round(inputs.damping, 3)
    (9.0, 7.67, 0.038)
    >>> print(opt.report())
    Step 1 by the rule kronecker
    layer ...
    model  1 × 2  0.01  Λ̃ ...
    """

    rule: str
    steps: int
    layers: list[LayerReport]

    @property
    def title(self) -> str:
        return f"Step {self.steps} by the rule {self.rule}"

    def __rich__(self) -> Table:
        from rich.table import Table

        table = Table(title=self.title, title_justify="left", title_style="", box=None, pad_edge=False)
        for column in HEADER:
            table.add_column(column, justify="left" if column in ("layer", "") else "right", no_wrap=True)
        for row in self._rows():
            table.add_row(*row)
        return table

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        Console(file=text, width=160, color_system=None).print(self)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def _repr_html_(self) -> str:
        def line(cells: tuple[str, ...], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "\n".join(line(row, "td") for row in self._rows())
        head = f"<caption>{escape(self.title)}</caption>\n<thead>{line(HEADER, 'th')}</thead>"
        return f"<table>\n{head}\n<tbody>\n{body}\n</tbody>\n</table>"

    def figure(self) -> Picture:
        """Condition numbers before and after damping, share of damping, and length of the step, by layer."""
        import matplotlib  # slow to import, and not needed to train

        from .figures import COLOURS, INK, STYLE, Picture

        places = range(len(self.layers))
        with matplotlib.rc_context(STYLE):
            picture = Picture(figsize=(9.0, 1.4 + 0.45 * len(self.layers)), layout="constrained")
            condition, share, step = picture.subplots(1, 3, sharey=True, width_ratios=(3, 2, 2))
            condition.set(xscale="log", ylabel="layer", xlabel="condition\n(○ undamped, ▷ singular, ● damped)")
            condition.set_yticks(places, [layer.name or "model" for layer in self.layers])
            condition.invert_yaxis()
            share.set(xlim=(-4, 104), xlabel="damping, % of trace")
            step.set(xlabel="‖ΔW‖ / ‖W‖")
            for (name, letter), colour, shift in zip(SYMBOLS.items(), COLOURS.values(), (-0.15, 0.15)):
                named = ((y + shift, layer.factors.get(name)) for y, layer in enumerate(self.layers))
                found = [(y, factor) for y, factor in named if factor is not None]
                for y, factor in found:
                    before = min(factor.condition, self._beyond())
                    shape = "o" if before == factor.condition else ">"
                    condition.plot([before, factor.damped], [y, y], color=colour, linewidth=1.4)
                    condition.plot(before, y, shape, color=colour, markerfacecolor="none")
                    condition.plot(factor.damped, y, "o", color=colour)
                    share.plot(100 * factor.damping, y, "o", color=colour)
                if found:
                    condition.plot([], [], "o", color=colour, label=letter)
            lengths = [layer.step for layer in self.layers]
            step.plot(lengths, places, "D", color=INK)
            if any(lengths):
                exponents = [math.log10(length) for length in lengths if length]
                step.set_xscale("log")
                step.set_xlim(10 ** math.floor(min(exponents)), 10 ** math.ceil(max(exponents) + 0.05))
            picture.legend(*condition.get_legend_handles_labels(), frameon=False, ncols=2, loc="outside upper left")
        return picture

    def _beyond(self) -> float:
        """A condition number beyond all finite ones, to draw an infinite one at."""
        factors = [factor for layer in self.layers for factor in layer.factors.values()]
        known = [c for factor in factors for c in (factor.condition, factor.damped) if math.isfinite(c)]
        return 10 * max(known, default=1e6)

    def _rows(self) -> list[tuple[str, ...]]:
        """Text of the table: a line for each factor, after the first without what belongs to the layer."""
        rows = []
        for layer in self.layers:
            n, m = layer.shape
            about = layer.name or "model", f"{n} × {m}", f"{layer.lam:.3g}"
            spent = f"{layer.factorise_ms:.2f} ms", f"{layer.apply_ms:.2f} ms"
            end = f"{layer.step:.1e}", str(layer.age), *spent
            factors = [(LETTERS[name], *_cells(factor)) for name, factor in layer.factors.items()]
            for k, cells in enumerate(factors or [("",) * 6]):
                rows.append((*about, *cells, *end) if not k else ("",) * 3 + cells + ("",) * 4)
        return rows


def report(steps: int, last: StepRecord) -> Report:
    """The report on step number `steps`, counted from 1.

    Raises
    ------
    torch.linalg.LinAlgError
        If an eigendecomposition fails.
    """
    layers: dict[int, LayerReport] = {}
    depth = sum(len(block.layers) for block in last.blocks)
    lengths = iter(last.lengths)
    for block, kept in zip(last.blocks, last.kept):
        weights = [stack.weight() for stack in block.stacks]
        done = kept.factorisation
        assert done is not None
        quantities = block.quantities(done.rule, done.rule.slow + done.rule.fast, kept)
        seen = {name: [full(A) for A in matrices] for name, matrices in kept.factors.items()}
        if done.units is not None:
            quantities = done.units.measure(quantities)
            seen = {name: [A] for name, A in done.units.measure({name: A for name, (A,) in seen.items()}).items()}
        spent = _times(done.rule, quantities | {"lam": done.lam, "L": depth}, weights)
        for i, (stack, weight) in enumerate(zip(block.stacks, weights)):
            own = {name: stack.split(A[i]) for name, A in seen.items()}
            for j, ((k, layer), size) in enumerate(
                zip(stack.members.items(), product_and_norms([stack], [weight], [weight])[1])
            ):
                moved = last.scale * next(lengths)
                factors = {name: matrices[j] for name, matrices in own.items()}
                layers[k] = LayerReport(
                    layer.name,
                    layer.shape,
                    done.lam,
                    _factors(done.rule, factors, done.lam),
                    _ratio(moved, size),
                    steps - 1 - done.step,
                    *(1e3 * seconds / len(block.layers) for seconds in spent),
                )
    return Report(last.rule, steps, [layers[k] for k in sorted(layers)])


def _ratio(moved: float, size: float) -> float:
    """Length of a step over that of the weights, which may be 0."""
    return (moved / size if size else math.inf) if moved else 0.0


def _times(rule: Preconditioner, quantities: Quantities, weights: list[Tensor]) -> tuple[float, float]:
    """Seconds for the slow and for the fast part, with the weights in place of their gradients."""
    if rule.remembers:
        quantities |= {"G_0": weights[0], "C": torch.eye(weights[0].shape[-1]).to(weights[0])}
    start = time.perf_counter()
    state = rule.factorise(quantities)
    half = time.perf_counter()
    applied(rule, weights, state, quantities)
    return half - start, time.perf_counter() - half


def _factors(rule: Preconditioner, own: dict[str, Tensor], lam: float) -> dict[str, FactorReport]:
    """The factors of one layer, from what its rule is given."""
    found = {}
    added = rule.damping(own | {"lam": lam})
    for name, inverse in INVERSES.items():
        if name in own:
            matrices = own[name].reshape(-1, *own[name].shape[-2:])
            dampings = torch.as_tensor(added.get(name, math.nan)).reshape(-1).expand(len(matrices))
            reports = [_factor(A, float(c), rule.solver == "low_rank") for A, c in zip(matrices, dampings)]
            means = (sum(values) / len(reports) for values in zip(*map(astuple, reports)))
            found[name] = FactorReport(*means)
        elif inverse in own:
            condition = float(torch.linalg.cond(own[inverse].double()).mean())
            found[name] = FactorReport(math.nan, condition, math.nan, math.nan, math.nan)
    return found


def _factor(A: Tensor, c: float, leading: bool) -> FactorReport:
    m = len(A)
    values = torch.linalg.eigvalsh(A.double()).clamp(min=0)
    largest, smallest, total = float(values[-1]), float(values[0]), float(values.sum())
    p = values[values > 0] / total
    return FactorReport(
        condition=math.inf if smallest <= m * torch.finfo(A.dtype).eps * largest else largest / smallest,
        damped=(largest + c) / (smallest + c),
        rank=float(torch.exp(-(p * p.log()).sum())) if total else 0.0,
        damping=m * c / (total + m * c),
        left_out=(_left_out(A, c) if total else 0.0) if leading else math.nan,
    )


def _left_out(A: Tensor, c: float) -> float:
    """‖A − Â‖/‖A‖ for the Â of `leading_pairs` with damping c, 0 if that is not known."""
    values, vectors, rest = leading_pairs(A, 0.0 if math.isnan(c) else c)
    kept = (vectors * (values - rest)) @ vectors.mT
    return float((A - kept - rest * torch.eye(len(A)).to(A)).norm() / A.norm())


def _cells(factor: FactorReport) -> tuple[str, ...]:
    def cell(value: float, form: str, scale: float = 1.0) -> str:
        return "–" if math.isnan(value) else "∞" if math.isinf(value) else form.format(scale * value)

    percent = "{:.1f} %"
    return (
        cell(factor.condition, "{:.1e}"),
        cell(factor.damped, "{:.1e}"),
        cell(factor.rank, "{:.1f}"),
        cell(factor.damping, percent, 100),
        cell(factor.left_out, percent, 100),
    )

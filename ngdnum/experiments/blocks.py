r"""The full Fisher matrix of small networks: what lies off its block diagonal, and what becomes of a step without it.

F has a block F_ij for each pair of layers. Approximations of F keep some of them; each gives a direction u in place of
the natural gradient F⁺g. Two numbers tell what u is worth, of the same quadratic model of the loss:

.. math::

    \text{speed} = \frac{g^\top u}{g^\top F^+ g}, \qquad
    \text{alignment} = \frac{g^\top u}{\sqrt{u^\top F u \; g^\top F^+ g}} .

The speed is the first-order fall of the loss along u over that along F⁺g; the alignment is the cosine of their angle
in the metric F, 1 if u moves the outputs in the direction of F⁺g.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from ..likelihood import Categorical, Gaussian, Likelihood
from ..likelihood.density import fisher_product
from ..rules import RULES
from .measurements import Measurements, Row, measure_rows

ENDS, WIDTH = 4, 6
EXAMPLES = 200
STEPS = 300  # of Adam, full batch
DEPTHS = (1, 2, 3, 4, 5, 6)
DEPTH = 4
RANK = 1e-10  # eigenvalues below this share of the largest count as zero


@dataclass(frozen=True)
class Network:
    """4 inputs and outputs, hidden layers of 6 units, the middle one of `narrowest`, and what is between and behind."""

    narrowest: int = WIDTH
    activation: type[nn.Module] | None = None
    likelihood: Likelihood = Gaussian()

    def model(self, depth: int, generator: torch.Generator) -> nn.Sequential:
        """`depth` layers without biases, W_i from N(0, 1/n_{i-1}) in float64.

        Examples
        --------
        >>> Network(2, nn.Tanh).model(2, torch.Generator())
        Sequential(
          (0): Linear(in_features=4, out_features=2, bias=False)
          (1): Tanh()
          (2): Linear(in_features=2, out_features=4, bias=False)
        )
        """
        hidden = [WIDTH] * (depth - 1)
        if hidden:
            hidden[(depth - 1) // 2] = self.narrowest
        modules: list[nn.Module] = []
        for m, n in pairwise((ENDS, *hidden, ENDS)):
            layer = nn.Linear(m, n, bias=False, dtype=torch.float64)
            nn.init.normal_(layer.weight, 0.0, m**-0.5, generator)
            modules += [layer] if self.activation is None else [layer, self.activation()]
        return nn.Sequential(*(modules if self.activation is None else modules[:-1]))

    def targets(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """What a random linear map says of `x`, drawn from the likelihood."""
        teacher = torch.randn(ENDS, ENDS, generator=generator, dtype=x.dtype)
        return self.likelihood.sample(x @ teacher, generator)


NETWORKS = {
    "wide": Network(),
    "bottleneck": Network(narrowest=2),
    "tanh": Network(activation=nn.Tanh),
    "softmax": Network(likelihood=Categorical()),
    "all three": Network(2, nn.Tanh, Categorical()),
}


class FullFisher:
    """F of all weights `[P, P]` for the model's own targets at given inputs, in blocks `[p_i, p_j]`.

    Weights are in the order of the layers, each flattened by rows.

    Parameters
    ----------
    model : nn.Sequential
        Linear layers without biases, and elementwise functions.
    likelihood : Likelihood
        What gives the outputs their Fisher.
    x : Tensor
        Inputs `[M, n_0]`.
    """

    def __init__(self, model: nn.Sequential, likelihood: Likelihood, x: Tensor) -> None:
        output = model(x).detach()
        self.inputs, self.slopes, self.weighted = [], [], []
        h = x
        for k, layer in enumerate(model):
            h, before = layer(h).detach(), h
            if isinstance(layer, nn.Linear):
                slopes = vmap(jacrev(model[k + 1 :]))(h).detach()
                columns = [fisher_product(likelihood, output, column) for column in slopes.unbind(2)]
                self.inputs.append(before)
                self.slopes.append(slopes)
                self.weighted.append(torch.stack(columns, 2))
        self.sizes = [s.shape[2] * a.shape[1] for s, a in zip(self.slopes, self.inputs)]
        self.matrix = torch.cat([torch.cat([self.block(i, j) for j in self.layers], 1) for i in self.layers])

    @property
    def layers(self) -> range:
        return range(len(self.inputs))

    def block(self, i: int, j: int) -> Tensor:
        r"""F_ij = ⟨S_iᵀ F_f S_j ⊗ x_{i-1} x_{j-1}ᵀ⟩, with S_i = ∂f/∂z_i and the Fisher F_f of the output."""
        parts = torch.einsum("moa,mb,moc,md->abcd", self.slopes[i], self.inputs[i], self.weighted[j], self.inputs[j])
        return parts.reshape(self.sizes[i], self.sizes[j]) / len(self.inputs[i])

    def kronecker(self, i: int, j: int) -> tuple[Tensor, Tensor]:
        """(⟨e_i e_jᵀ⟩, ⟨x_{i-1} x_{j-1}ᵀ⟩), the two factors of F_ij where it factors."""
        count = len(self.inputs[i])
        errors = torch.einsum("moa,moc->ac", self.slopes[i], self.weighted[j]) / count
        return errors, self.inputs[i].mT @ self.inputs[j] / count

    def banded(self, width: int) -> Tensor:
        """F with blocks F_ij of |i − j| ≤ `width` only; 0 leaves the block diagonal."""
        owner = torch.repeat_interleave(torch.arange(len(self.sizes)), torch.tensor(self.sizes))
        return self.matrix * ((owner[:, None] - owner).abs() <= width)

    def off_diagonal(self) -> float:
        """Share of ‖F‖² that lies off the block diagonal.

        Examples
        --------
        >>> model = NETWORKS["wide"].model(1, torch.Generator().manual_seed(0))
        >>> FullFisher(model, Gaussian(), torch.eye(4).double()).off_diagonal()
        0.0
        """
        total = self.matrix.square().sum()
        return float((total - self.banded(0).square().sum()) / total)

    def unequal(self, G: list[Tensor]) -> float:
        r"""How far the L blocks of a row are from equal contributions (37), the largest over the rows.

        The contributions of row i are T_ij = L⁻² ⟨e_j e_iᵀ⟩⁺ G_j ⟨x_{i-1} x_{j-1}ᵀ⟩⁺; what is told is the root of
        Σ_j ‖T_ij − T̄_i‖² / (L ‖T̄_i‖²), as their difference is seen by the outputs, ‖T‖² = tᵀ F_ii t.
        """
        found = 0.0
        for i in self.layers:
            terms = []
            for j in self.layers:
                errors, activations = self.kronecker(j, i)
                terms.append((_pinv(errors) @ G[j] @ _pinv(activations.mT)).flatten())
            t, F_ii = torch.stack(terms), self.block(i, i)
            mean = t.mean(0)
            apart = torch.einsum("jp,pq,jq->", t - mean, F_ii, t - mean) / (len(t) * (mean @ F_ii @ mean))
            found = max(found, float(apart.clamp(min=0).sqrt()))
        return found

    def directions(self, G: list[Tensor]) -> dict[str, Tensor]:
        """u of each approximation, `[P]`: bands of blocks, the diagonal, Eq. 10, and the gradient itself."""
        g = torch.cat([part.flatten() for part in G])
        found = {f"band {b}": _pinv(self.banded(b), symmetric=True) @ g for b in range(max(1, len(G) - 1))}
        found["diagonal"] = g / self.matrix.diagonal().clamp(min=RANK * float(self.matrix.diagonal().max()))
        rule = RULES["kronecker"].undamped
        assert rule is not None
        factors = [self.kronecker(i, i) for i in self.layers]
        parts = [rule.apply(part, rule.factorise(*both), L=len(G)) for part, both in zip(G, factors)]
        found["Eq. 10"] = torch.cat([part.flatten() for part in parts])
        found["gradient"] = g
        return found


def speed_and_alignment(F: Tensor, g: Tensor, u: Tensor) -> tuple[float, float]:
    """gᵀu/gᵀF⁺g and the cosine of u and F⁺g in the metric F.

    Examples
    --------
    >>> speed_and_alignment(torch.eye(2), torch.tensor([1.0, 0.0]), torch.tensor([3.0, 4.0]))
    (3.0, 0.6...)
    """
    most = g @ _pinv(F, symmetric=True) @ g
    return float(g @ u / most), float(g @ u / (u @ F @ u * most).sqrt())


def compare_blocks(
    *,
    networks: dict[str, Network] = NETWORKS,
    depths: tuple[int, ...] = DEPTHS,
    seeds: int = 3,
    progress: bool = True,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
) -> Measurements:
    """The Fisher of each network at its start and after training; the wide one at each of `depths`, the others at 4.

    A row holds `off_diagonal` and `unequal` (see `FullFisher`), and `speed NAME` and `alignment NAME` of each
    approximation, "band b" for blocks with |i − j| ≤ b. The gradient is that of a task that the network was not
    trained for, since that of the other is zero in the end.
    """
    cases: list[Row] = [
        {"network": name, "layers": depth, "trained": trained, "seed": seed}
        for name in networks
        for depth in (depths if name == "wide" else (DEPTH,))
        for trained in (False, True)
        for seed in range(seeds)
    ]

    def measure(case: Row) -> Row:
        network = networks[str(case["network"])]
        return _measure(network, int(str(case["layers"])), bool(case["trained"]), int(str(case["seed"])))

    title = "The full Fisher matrix and its blocks"
    return measure_rows("blocks", title, cases, measure, progress=progress, output=output, resume=resume)


def _measure(network: Network, depth: int, trained: bool, seed: int) -> Row:
    generator = torch.Generator().manual_seed(seed)
    model = network.model(depth, generator)
    scales = torch.linspace(1.0, 0.3, ENDS, dtype=torch.float64)
    x = torch.randn(EXAMPLES, ENDS, generator=generator, dtype=torch.float64) * scales
    y, other = network.targets(x, generator), network.targets(x, generator)
    loss: Callable[[Tensor, Tensor], Tensor] = network.likelihood
    if trained:
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    fisher = FullFisher(model, network.likelihood, x)
    G = [-part for part in torch.autograd.grad(loss(model(x), other), list(model.parameters()))]
    g = torch.cat([part.flatten() for part in G])
    row: Row = {"off_diagonal": fisher.off_diagonal(), "unequal": fisher.unequal(G)}
    for name, u in fisher.directions(G).items():
        row[f"speed {name}"], row[f"alignment {name}"] = speed_and_alignment(fisher.matrix, g, u)
    return row


def _pinv(A: Tensor, symmetric: bool = False) -> Tensor:
    return torch.linalg.pinv(A, rtol=RANK, hermitian=symmetric)

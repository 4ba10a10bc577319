"""Muon for matrices and AdamW for everything else, as one optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class MuonWithAdamW:
    """`torch.optim.Muon` on the matrices among `parameters`, `torch.optim.AdamW` on the others (biases).

    Neither decays weights.  `param_groups` are those of both, so that a schedule reaches them.

    Raises
    ------
    ValueError : torch is older than 2.9 and has no Muon.

    Examples
    --------
    >>> layer = torch.nn.Linear(3, 2)
    >>> opt = MuonWithAdamW(layer.parameters(), lr=0.02, bias_lr=1e-3)
    >>> [(group["lr"], len(group["params"])) for group in opt.param_groups]
    [(0.02, 1), (0.001, 1)]
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, bias_lr: float) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise ValueError(f"torch {torch.__version__} has no Muon: install torch 2.9 or newer, or choose "
                             "the other methods with --methods")
        parameters = list(parameters)
        matrices = [p for p in parameters if p.ndim == 2]
        others = [p for p in parameters if p.ndim != 2]
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(torch.optim.Muon(matrices, lr, weight_decay=0.0))
        if others:
            self.parts.append(torch.optim.AdamW(others, bias_lr, weight_decay=0.0))
        groups = (part.param_groups for part in self.parts)
        self.param_groups: list[dict[str, Any]] = [group for of_part in groups for group in of_part]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        """One step of both."""
        for part in self.parts:
            part.step()

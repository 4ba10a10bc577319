"""Muon for matrices and AdamW for everything else, as one optimizer, in the arithmetic that is fast here."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

_Muon: Any = vars(torch.optim).get("Muon", torch.optim.Optimizer)  # torch < 2.9 has none


def product_seconds(dtype: torch.dtype, device: torch.device) -> float:
    """Median time of a product of two 256×256 matrices, warm, on one thread."""
    x = torch.ones(256, 256, dtype=dtype, device=device)
    return Timer("x @ x", globals={"x": x}).blocked_autorange(min_run_time=0.1).median


@functools.cache
def arithmetic(device: torch.device) -> torch.dtype:
    """The type Muon orthogonalises in on `device`: float32 if bfloat16 products are slower, else bfloat16.

    It is measured once for each device.
    """
    slower = product_seconds(torch.bfloat16, device) > product_seconds(torch.float32, device)
    return torch.float32 if slower else torch.bfloat16


def newton_schulz(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Near the polar factor of `matrix`, in its own arithmetic.

    From X = `matrix` / max(‖`matrix`‖, `eps`), `steps` times X ← a X + (b A + c A²) X with A = X Xᵀ: each
    singular value s becomes a s + b s³ + c s⁵, singular vectors stay.  A tall matrix is transposed meanwhile.
    """
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Float32Muon(_Muon):
    """`torch.optim.Muon`, with its options, constants and state, but orthogonalising in float32.

    torch rounds to bfloat16 first, which saves time only on processors made for it; on others its products
    take many times as long as float32 ones.  Both steps differ by that rounding alone:

    M ← μ M + (1−μ) G,  V = μ M + (1−μ) G (without Nesterov: M),  W ← (1 − lr · decay) W − lr · s · O,

    O from V by `newton_schulz`, and s = √max(1, rows / columns) or what `adjust_lr_fn` asks for.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.zeros(2, 3))
    >>> opt = Float32Muon([weight], lr=0.02)
    >>> weight.grad = torch.eye(2, 3)
    >>> opt.step()
    >>> bool(weight[0, 0] == weight[1, 1] < -0.01)
    True
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; the loss that `closure` computes, if there is one."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                state = self.state[p]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(p.grad)
                mean = state["momentum_buffer"].lerp_(p.grad, 1 - group["momentum"])
                direction = p.grad.lerp(mean, group["momentum"]) if group["nesterov"] else mean
                update = newton_schulz(direction.float(), group["ns_coefficients"], group["ns_steps"], group["eps"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * _scale(group["adjust_lr_fn"], *p.shape))
        return loss


def _scale(adjustment: str | None, rows: int, columns: int) -> float:
    if adjustment == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


class MuonWithAdamW:
    """Muon on the matrices among `parameters`, `torch.optim.AdamW` on the others (biases).

    Muon is `torch.optim.Muon`, which orthogonalises in bfloat16, or `Float32Muon` where bfloat16 products are
    slower than float32 ones, so that its seconds are not those of an arithmetic the processor lacks.
    Neither decays weights.  A schedule of `param_groups` reaches both.

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
            raise ValueError(
                f"torch {torch.__version__} has no Muon: install torch 2.9 or newer, or choose "
                "the other methods with --methods"
            )
        parameters = list(parameters)
        matrices = [p for p in parameters if p.ndim == 2]
        others = [p for p in parameters if p.ndim != 2]
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            single = arithmetic(matrices[0].device) == torch.float32
            muon = Float32Muon if single else torch.optim.Muon
            self.parts.append(muon(matrices, lr, weight_decay=0.0))
        if others:
            self.parts.append(torch.optim.AdamW(others, bias_lr, weight_decay=0.0))

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those of both."""
        return [group for part in self.parts for group in part.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts:
            part.zero_grad()

    def step(self) -> None:
        """One step of both."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The states of both."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)

"""NGD: natural gradient descent as a `torch.optim.Optimizer`."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from .capture import Capture, Record, trainable_layers
from .damping import Fixed, LevenbergMarquardt
from .factors import Average, check_samples, error_factors, input_factors
from .likelihood import Likelihood, check_likelihood
from .rule import resolve
from .rules import Rule, predicted_change
from .stack import Stack, stacks


class NGD(torch.optim.Optimizer):
    r"""Natural gradient descent: W_i ← W_i + α ΔW_i with ΔW_i = rule(G_i, Λ̃_i, Λ_{i-1}).

    G_i = ⟨e_i x_{i-1}ᵀ⟩ is the negative gradient of the loss, Λ̃_i = ⟨e_i e_iᵀ⟩ and Λ_{i-1} =
    ⟨x_{i-1}x_{i-1}ᵀ⟩ are the Kronecker factors of the Fisher (Eq. 14, 15). The errors behind Λ̃ belong to
    targets drawn from the model, which are back-propagated during the ordinary `loss.backward()`. The plain
    constructor takes the step of the paper: (20) with α = 1, where the rule contains the 1/L.

    The training loss must be the mean over the batch of −log q, as `likelihood(model(x), y)` computes it.
    If you compute it yourself, keep that scale: with Σ̃ = I, n/2 times `nn.MSELoss`.

    Parameters
    ----------
    model : nn.Module
        Its trainable parameters must all belong to `nn.Linear` layers, with or without bias, each used once
        per forward pass on `[M, m]`; its output is `[M, n_L]`. Freeze others with `requires_grad_(False)`.
    likelihood : Likelihood
        q(y | f): `Gaussian()`, `Categorical()`, `Bernoulli()`, or any object with `log_density` and `sample`.
    lr : float, default 1.0
        α, the step size.
    rule : str, Rule, module or source text, default "kronecker"
        How G becomes ΔW, see `ngdnum.rule`.
    damping : float, Fixed or LevenbergMarquardt, default 1e-2
        λ of the first step, adapted by (21) in `step(closure)`. With 0.0 exactly, the undamped rule with
        Moore–Penrose inverses is used.
    samples : int or None, default 1
        Targets per example drawn from the model; None computes Λ̃ exactly (n_L back-propagated directions).
    seed : int, optional
        Seed of the sampled targets. Default: the seed of torch's global generator.

    Raises
    ------
    ValueError, TypeError
        For anything it cannot handle, with the reason. Nothing is changed then.

    Examples
    --------
    >>> from ngdnum import NGD, Gaussian
    >>> _ = torch.manual_seed(0)
    >>> x = torch.randn(100, 3); y = x @ torch.randn(3, 2)
    >>> model, likelihood = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), Gaussian()
    >>> opt = NGD(model, likelihood, samples=None)
    >>> for _ in range(20):
    ...     opt.zero_grad()
    ...     likelihood(model(x), y).backward()
    ...     loss = opt.step(lambda: likelihood(model(x), y))
    >>> bool(loss < 1e-3)
    True
    """

    def __init__(
        self,
        model: nn.Module,
        likelihood: Likelihood,
        lr: float = 1.0,
        rule: str | Rule | ModuleType = "kronecker",
        damping: float | Fixed | LevenbergMarquardt = 1e-2,
        samples: int | None = 1,
        seed: int | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be an nn.Module, not {type(model).__name__}: NGD needs the layers")
        check_likelihood(likelihood)
        check_samples(samples, likelihood)
        if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not 0 < lr < math.inf:
            raise ValueError(f"lr must be a finite number > 0; got {lr!r}")
        self.likelihood, self.samples = likelihood, samples
        self.rule = resolve(rule)
        self.damping = damping if hasattr(damping, "next") else LevenbergMarquardt(damping)
        self.rule.at(self.damping.lam)
        self.layers = trainable_layers(model)
        self.steps = 0
        self._ready = False
        parameters = [p for layer in self.layers for p in layer.parameters]
        super().__init__(parameters, {"lr": lr, "damping": self.damping.lam})
        self._ready = True
        self.generator = torch.Generator(parameters[0].device)
        self.generator.manual_seed(torch.initial_seed() if seed is None else seed)
        self._stacks = stacks(self.layers)
        self._evaluating = False
        self._average = Average()
        self._capture = Capture(model, self.layers, self._observe)

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor | float] | None = None) -> Tensor | float | None:
        """Update the weights from the last `loss.backward()`.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss of the same batch, forward only: it is called without gradients before and after
            the update, and the damping is adapted by (21). If the loss after the update is not finite, the
            update is undone and the damping raised.

        Returns
        -------
        Tensor or float or None
            What `closure` returned before the update.

        Raises
        ------
        RuntimeError
            If there was no backward pass through the model's output, or if `closure` calls `backward`.
        ValueError
            If the batch, the gradients or the new weights are not finite.
        torch.linalg.LinAlgError
            If a damped factor is not positive definite.

        Whatever is raised, no weight has changed.
        """
        group = self.param_groups[0]
        active = self._active()
        before = None if closure is None else self._evaluate(closure)
        if before is not None and not math.isfinite(before):
            raise ValueError(f"the loss before the step is {float(before)}: check the batch and the weights")

        gradients = [stack.gradient() for stack in active]
        directions = self._directions(active, gradients, group["damping"])
        weights = [stack.weight() for stack in active]
        updated = [torch.add(w, d, alpha=group["lr"]) for w, d in zip(weights, directions)]
        for stack, w in zip(active, updated):
            stack.check_finite("the new weight", w, "lower lr or raise the damping")
        _write(active, updated)

        if closure is not None:
            trace = sum(float(torch.vdot(d.flatten(), g.flatten())) for d, g in zip(directions, gradients))
            predicted = predicted_change(group["lr"], trace)
            try:
                change = float(self._evaluate(closure)) - float(before)
            except BaseException:
                _write(active, weights)
                raise
            if not math.isfinite(change):
                _write(active, weights)
            group["damping"] = self.damping.next(group["damping"], _ratio(change, predicted))
        self._average.clear()
        self.steps += 1
        return before

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, and the factors that were collected with them."""
        if self._evaluating:
            raise RuntimeError(_FORWARD_ONLY)
        super().zero_grad(set_to_none)
        self._average.clear()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused: the parameters are those of the model's layers, found at construction."""
        if self._ready:
            raise ValueError("NGD takes its parameters from the model: build a new NGD for a changed model")
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on as if never interrupted: lr, damping, random state, number of steps."""
        own = {"steps": self.steps, "generator": self.generator.get_state()}
        return {**super().state_dict(), "ngd": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; the argument is not changed."""
        if "ngd" not in state_dict:
            raise ValueError("this state_dict was not made by NGD: it has no entry 'ngd'")
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "ngd"})
        self.steps = state_dict["ngd"]["steps"]
        self.generator.set_state(state_dict["ngd"]["generator"].cpu())

    def _observe(self, record: Record, output: Tensor) -> None:
        """Collect the factors of one forward pass, in its backward pass."""
        if self._evaluating:
            raise RuntimeError(_FORWARD_ONLY)
        factors = {}
        with torch.no_grad():
            if "Lambda" in self.rule.needs:
                factors["Lambda"] = input_factors(record, self.layers)
            if "Lambda_tilde" in self.rule.needs:
                factors["Lambda_tilde"] = error_factors(
                    record, self.likelihood, output, self.samples, self.generator, self.layers
                )
        self._average.add(len(output), factors)

    def _active(self) -> list[Stack]:
        """The layers that took part in the last backward pass."""
        used = {k for k, layer in enumerate(self.layers) if all(p.grad is not None for p in layer.parameters)}
        used = used.intersection(*self._average.mean.values())
        if not self._average.count or not used:
            raise RuntimeError("nothing to step from: call backward() on a loss of the model's output first")
        return [stack for stack in (s.only(used) for s in self._stacks) if stack.members]

    def _directions(self, active: list[Stack], gradients: list[Tensor], lam: float) -> list[Tensor]:
        """ΔW of every stack for α = 1."""
        rule = self.rule.at(lam)
        depth = sum(len(stack.members) for stack in active)
        directions = []
        for stack, G in zip(active, gradients):
            quantities = {name: stack.gather(matrices) for name, matrices in self._average.mean.items()}
            for name, matrices in (*quantities.items(), ("the gradient", G)):
                stack.check_finite(name, matrices, "look for NaN or infinity in the batch and in the weights")
            try:
                state = rule.factorise({**quantities, "lam": lam, "L": depth})
            except torch.linalg.LinAlgError as error:
                names = ", ".join(layer.name for layer in stack.members.values())
                raise torch.linalg.LinAlgError(
                    f"a factor of layers {names} could not be factorised at damping {lam:g}, so no weight "
                    f"was changed: raise the damping, or use damping=0.0 for pseudo-inverses ({error})"
                ) from error
            directions.append(rule.apply(G, state, {**quantities, "lam": lam, "L": depth}))
        return directions

    def _evaluate(self, closure: Callable[[], Tensor | float]) -> Tensor | float:
        self._evaluating = True
        try:
            loss = closure()
        except RuntimeError as error:
            if "does not require grad" in str(error):
                raise RuntimeError(_FORWARD_ONLY) from error
            raise
        finally:
            self._evaluating = False
        if not isinstance(loss, (int, float)) and not (isinstance(loss, Tensor) and loss.numel() == 1):
            raise TypeError(f"the closure must return the loss, one number, not {type(loss).__name__}")
        return loss


_FORWARD_ONLY = (
    "the closure of NGD.step must only compute the loss: it runs without gradients, before and after the "
    "update. Call zero_grad() and backward() before step(closure), not inside the closure"
)


def _write(stacks: list[Stack], weights: list[Tensor]) -> None:
    for stack, weight in zip(stacks, weights):
        stack.write(weight)


def _ratio(change: float, predicted: float) -> float:
    """ρ of (21), actual over predicted change; −∞ if the loss overflowed, 1 at a stationary point."""
    if not math.isfinite(change):
        return -math.inf
    return change / predicted if predicted else 1.0

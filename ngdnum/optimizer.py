"""NGD: natural gradient descent as a `torch.optim.Optimizer`."""

from __future__ import annotations

import copy
import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from .amp import loss_scale
from .batch import Batch, Matrices
from .capture import Capture, Record
from .checks import check_model, check_parts
from .control import Control, Plain, Probe, dot, predicted
from .damping import Decay, Fixed, LevenbergMarquardt
from .factors import Factors, check_samples
from .dual import Dual
from .fisher import Fisher, Vector
from .inverse import Inverse, States, dated, directions
from .layers import trainable_layers, uncompiled
from .likelihood import Likelihood, check_likelihood
from .measure import measure
from .others import Others, check_gradients, optimizer_of
from .past import Past, thrifty
from .presets import Presets
from .report import Last, Report, report
from .rule import resolve
from .rules import Rule
from .stack import Stack, stacks
from .trial import Closure, Evaluation, take


class NGD(Presets, torch.optim.Optimizer):
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
        Its layers `nn.Linear` and `nn.Conv1d/2d/3d`, with or without bias, take natural-gradient steps. They
        may act on several positions of an example and be used several times. Examples lie along the first
        axis; the output is `[M, n_L]`, or `[M, …, n_L]` where each position counts as an example. It may be
        compiled; if it, or another of its kind, has run so before NGD is built, call `torch.compiler.reset()`.
    likelihood : Likelihood
        q(y | f): `Gaussian()`, `Categorical()`, `Bernoulli()`, or any object with `log_density` and `sample`.
    lr : float, default 1.0
        α, the step size.
    rule : str, Rule, module or source text, default "kronecker"
        How G becomes ΔW, see `ngdnum.rule`.
    damping : float, Fixed, Decay or LevenbergMarquardt, default 1e-2
        λ of the first step; a number is adapted by (21) in `step(closure)`. With 0.0 exactly, the undamped
        rule with Moore–Penrose inverses is used.
    samples : int or None, default 1
        Targets per example drawn from the model; None computes Λ̃ exactly (n_L back-propagated directions).
    factors : Factors, default Factors()
        When the factors are measured, and whether they are averaged over steps. Default: each step has its own.
    inverse : Inverse, default Inverse()
        When the factors are inverted, and how. Default: at each step.
    control : Control, default Plain()
        How the directions become the change of the weights: `Plain`, `OutputNormalised`, `Quadratic`,
        `TrustRegion`, `ConjugateGradient`, `DualConjugateGradient`, `Retraction`, or one of your own.
    others : callable, optional
        Makes the optimizer of all other trainable parameters, those of norms, embeddings and transposed
        convolutions, and weights that modules share: `lambda p: torch.optim.AdamW(p, lr=1e-3)`. Its steps are
        part of `step`, its groups follow in `param_groups`. Without it, such parameters are refused.

    Attributes
    ----------
    generator : torch.Generator
        Source of the sampled targets, first seeded like torch's global generator.
    others : torch.optim.Optimizer or None
        The optimizer of the other parameters.

    Raises
    ------
    ValueError, TypeError
        For anything it cannot handle, with the reason. Nothing is changed then.

    Examples
    --------
    >>> from ngdnum import NGD, Categorical, Gaussian
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

    A convolutional network with batch normalisation:

    >>> model = nn.Sequential(
    ...     nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 5 * 5, 2)
    ... )
    >>> x = torch.randn(200, 1, 5, 5); y = (x[:, 0, 2, 2] > 0).long()
    >>> likelihood = Categorical()
    >>> opt = NGD.fast(model, likelihood, others=lambda p: torch.optim.AdamW(p, lr=1e-2))
    >>> for _ in range(30):
    ...     opt.zero_grad()
    ...     loss = likelihood(model(x), y)
    ...     loss.backward()
    ...     opt.step()
    >>> bool(loss < 0.05)
    True
    """

    _step_supports_amp_scaling = True  # see amp.py

    def __init__(
        self,
        model: nn.Module,
        likelihood: Likelihood,
        lr: float = 1.0,
        rule: str | Rule | ModuleType = "kronecker",
        damping: float | Fixed | Decay | LevenbergMarquardt = 1e-2,
        samples: int | None = 1,
        factors: Factors = Factors(),
        inverse: Inverse = Inverse(),
        control: Control = Plain(),
        others: Others | None = None,
    ) -> None:
        check_model(model, lr)
        check_likelihood(likelihood)
        check_samples(samples, likelihood)
        model = uncompiled(model)
        self.model, self.likelihood, self.samples = model, likelihood, samples
        self.factors, self.inverse, self.control = factors, inverse, control
        self.rule = resolve(rule, inverse.solver if isinstance(inverse, Inverse) else None)
        self.damping = damping if hasattr(damping, "next") else LevenbergMarquardt(damping)
        check_parts(self.rule.at(self.damping.lam), factors, inverse, control, likelihood)
        self.layers, self._rest = trainable_layers(model)
        self.others = optimizer_of(self._rest, others)
        self.steps = 0
        self._ready = False
        parameters = [p for layer in self.layers for p in layer.parameters]
        super().__init__(parameters, {"lr": lr, "damping": self.damping.lam})
        if self.others:
            self.param_groups += self.others.param_groups
        self._ready = True
        self.generator = torch.Generator(parameters[0].device)
        self.generator.manual_seed(torch.initial_seed())
        self._stacks = stacks(self.layers)
        self._evaluate = Evaluation()
        self._batch = Batch()
        self._past = Past()
        self._last: Last | None = None
        self._capture = Capture(model, self.layers, self._observe)

    @torch.no_grad()
    def step(
        self, closure: Closure | None = None, loss: Tensor | float | None = None
    ) -> Tensor | float | None:
        """Update the weights from the last `loss.backward()`.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss of the same batch, forward only: it is called without gradients before and after
            the update, and the damping is adapted by (21). If the loss after the update is not finite, or
            higher than before and the damping rejects that, the update is undone and the damping raised.
        loss : Tensor or float, optional
            The loss on which `backward` was called. With it, `closure` is called after the update only.

        Returns
        -------
        Tensor or float or None
            The loss before the update, if known.

        Raises
        ------
        RuntimeError
            If there was no backward pass through the model's output, or if `closure` calls `backward`.
        ValueError
            If the batch, the gradients or the new weights are not finite.
        torch.linalg.LinAlgError
            If a damped factor is not positive definite.

        Whatever is raised, no weight has changed. Under autocast, a step keeps the precision of the weights.
        """
        with torch.autocast(self.generator.device.type, enabled=False), loss_scale(self) as scale:
            self._batch.scale = scale
            if scale == 0.0:
                self._batch = Batch()
                return loss
            return self._step(closure, loss)

    def _step(self, closure: Closure | None, loss: Tensor | float | None) -> Tensor | float | None:
        group, past = self.param_groups[0], self._past
        lr, lam = group["lr"], group["damping"]
        before = loss.detach() if isinstance(loss, Tensor) else loss
        if before is None and closure is not None:
            before = self._evaluate(closure)
        if before is not None and not math.isfinite(before):
            raise ValueError(f"the loss before the step is {float(before)}: check the batch and the weights")

        self._last = None
        self.rule.at(lam)
        measured, factors = past.after(self._batch, self.factors.decay, lam, self.layers)
        active = self._active(factors)
        gradients = [stack.gradient() for stack in active]
        for stack, G in zip(active, gradients):
            stack.check_finite("the gradient", G, "look for NaN or infinity in the batch and in the weights")
        states = self.inverse.states(self.rule, active, gradients, factors, lam, self.steps, past.states)
        probe = self._probe(active, gradients, factors, states, lr, lam)
        along = [] if getattr(self.control, "dual", False) else probe.precondition(gradients)
        move = self.control.move(active, along, past.memory, probe)
        scale = lr * move.scale
        lengths: dict[int, Tensor] = {}
        known = move.lengths or [stack.norms(u) for stack, u in zip(active, move.updates)]
        for stack, u, length in zip(active, move.updates, known):
            norms = length * abs(scale)
            if not math.isfinite(norms.sum()):
                stack.check_finite("the new weight", scale * u, "lower lr or raise the damping")
            lengths.update(zip(stack.members, norms))
        check_gradients(self._rest)

        memory, rho = move.memory, None
        after = closure and (lambda: float(self._evaluate(closure)))
        reject = getattr(self.damping, "reject", False)
        change, undone = take(active, move.updates, scale, self.others, after, before, reject)
        if undone:
            memory, lengths = {}, {k: torch.zeros_like(norm) for k, norm in lengths.items()}
        if change is not None:
            trace = move.scale * dot(move.updates, gradients)
            rho = _ratio(change, predicted(lr, trace, move.curvature))
        group["damping"] = self.damping.next(lam, rho)
        if self.inverse.every > 1:
            factors = thrifty(factors)
        self._past = Past(
            measured,
            factors if self.factors.every > 1 or self.factors.decay else {},
            states if self.inverse.every > 1 or self.rule.at(lam).remembers else {},
            memory,
        )
        self._last = Last(active, factors, dated(states), lengths)
        self._batch = Batch()
        self.steps += 1
        return before

    def report(self) -> Report:
        """What the last step was made of: conditions, ranks, damping, lengths and times, layer by layer.

        Raises
        ------
        RuntimeError
            If no step has been taken since the optimizer was made or loaded.
        """
        if self._last is None:
            raise RuntimeError("nothing to report on yet: take a step first")
        with torch.no_grad():
            return report(self.rule, self.steps, self._last)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, and the factors that were collected with them."""
        self._evaluate.check()
        super().zero_grad(set_to_none)
        self._batch = Batch()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused: the parameters are those of the model's layers, found at construction."""
        if self._ready:
            raise ValueError("NGD takes its parameters from the model: build a new NGD for a changed model")
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on to the bit as if never interrupted.

        That is lr, damping, random state, number of steps, running factors, inverses and momentum.
        """
        others = self.others.state_dict() if self.others else None
        own = {"steps": self.steps, "generator": self.generator.get_state(), "past": self._past.saved()}
        own["others"] = others
        return {**super().state_dict(), "ngd": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned; the argument is not changed."""
        if "ngd" not in state_dict:
            raise ValueError("this state_dict was not made by NGD: it has no entry 'ngd'")
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "ngd"})
        own = state_dict["ngd"]
        if self.others:
            self.others.load_state_dict(copy.deepcopy(own["others"]))
            self.param_groups[1:] = self.others.param_groups
        self.steps, self._past = own["steps"], Past.loaded(own["past"])
        self.generator.set_state(own["generator"].cpu())

    def _observe(self, record: Record, output: Tensor, gradient: Tensor) -> None:
        """Collect what one forward pass tells, in its backward pass."""
        self._evaluate.check()
        with torch.no_grad(), torch.autocast(output.device.type, enabled=False):
            factors, roots = {}, {}
            if self._past.due(self.steps, self.factors.every, record):
                factors, roots = measure(
                    self.rule.needs, self.factors, record, output, self.layers,
                    self.likelihood, self.samples, self.generator,
                )
            rows = output.flatten(0, -2)
            self._batch.add(record, len(rows), factors, roots)
            if self.control.rows != 0:
                self._batch.add_residual(self.likelihood, rows, gradient.flatten(0, -2))
                self._batch.keep(record, output, self.control.rows)
            if getattr(self.control, "dual", False):
                self._batch.gradients.append(gradient.flatten(0, -2))

    def _probe(
        self, active: list[Stack], gradients: Vector, factors: Matrices, states: States, lr: float, lam: float
    ) -> Probe:
        """What the control may ask about this step."""
        batch = self._batch

        def precondition(G: Vector) -> Vector:
            return directions(self.rule, active, G, factors, lam, states)

        def dual() -> Dual:
            slopes = [g / batch.known_scale() for g in batch.gradients]
            return Dual(self.model, self.likelihood, active, batch.calls, slopes, self.rule.at(lam), states)

        fisher = Fisher(self.model, self.likelihood, active, batch.calls)
        chain = list(batch.layers) if batch.chained else None
        return Probe(gradients, lr, lam, precondition, fisher, batch.residual, dual, chain)

    def _active(self, factors: Matrices) -> list[Stack]:
        """The layers that took part in the last backward pass; one by one, in order, for a network's rule."""
        used = self._batch.used(self.layers, factors)
        if not self.rule.network:
            return [stack for stack in (s.only(used) for s in self._stacks) if stack.members]
        if not self._batch.chained:
            raise ValueError(
                f"rule {self.rule.name!r} needs a chain of nn.Linear layers, each fed with the output of the "
                "one before, the last one's output being the model's"
            )
        return [Stack({k: self.layers[k]}) for k in self._batch.layers if k in used]


def _ratio(change: float, predicted: float) -> float:
    """ρ of (21), actual over predicted change; −∞ if the loss overflowed, 1 at a stationary point."""
    if not math.isfinite(change):
        return -math.inf
    return change / predicted if predicted else 1.0

"""NGD: natural gradient descent as a `torch.optim.Optimizer`."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from .amp import loss_scale
from .batch import Batch, Cuts
from .capture import Capture, Record
from .checkpoint import Saved, rebuilt
from .checks import check_model, check_parts
from .control import Control, FixedStep, NeedsDual, NeedsFisher, StepContext, dot, predicted, ratio
from .curvature.blocks import Blocks
from .curvature.curvature import Curvature
from .damping import Damping, LevenbergMarquardt
from .dual import Dual
from .factors import Factors, check_samples
from .fallback import Fallback, check_gradients, optimizer_of
from .fisher import Fisher, Vector
from .inverse import Inverse
from .layers import trainable_layers, uncompiled
from .likelihood import Likelihood, check_likelihood
from .measure import measure
from .presets import Presets
from .report import Report, StepRecord, report
from .row_weights import weigh
from .rule import Preconditioner, resolve
from .rules import Rule
from .stack import check_finite
from .trial import Closure, Evaluation, apply_or_undo


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
    damping : float or Damping, default 1e-2
        λ of the first step; a number is adapted by (21) in `step(closure)`. With 0.0 exactly, the undamped
        rule with Moore–Penrose inverses is used.
    samples : int or None, default 1
        Targets per example drawn from the model; None computes Λ̃ exactly (n_L back-propagated directions).
    factors : Factors, default Factors()
        When the factors are measured, and whether they are averaged over steps. Default: each step has its own.
    inverse : Inverse, default Inverse()
        When the factors are inverted, and how. Default: at each step.
    control : Control, default FixedStep()
        How the directions become the change of the weights: `FixedStep`, `OutputNormalised`, `ExactLineSearch`,
        `TrustRegion`, `ConjugateGradient`, `DualConjugateGradient`, `Retraction`, or one of your own.
    fallback : callable, optional
        Makes the optimizer of all other trainable parameters, those of norms, embeddings and transposed
        convolutions, and weights that modules share: `lambda p: torch.optim.AdamW(p, lr=1e-3)`. Its steps are
        part of `step`, its groups follow in `param_groups`. Without it, such parameters are refused.

    Attributes
    ----------
    generator : torch.Generator
        Source of the sampled targets, first seeded like torch's global generator.
    fallback : torch.optim.Optimizer or None
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
    >>> opt = NGD.fast(model, likelihood, fallback=lambda p: torch.optim.AdamW(p, lr=1e-2))
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
        damping: float | Damping = 1e-2,
        samples: int | None = 1,
        factors: Factors = Factors(),
        inverse: Inverse = Inverse(),
        control: Control = FixedStep(),
        fallback: Fallback | None = None,
    ) -> None:
        check_model(model, lr)
        check_likelihood(likelihood)
        check_samples(samples, likelihood)
        model = uncompiled(model)
        self.model, self.likelihood, self.samples = model, likelihood, samples
        self.factors, self.inverse, self.control = factors, inverse, control
        self.rule = resolve(rule, inverse.solver if isinstance(inverse, Inverse) else None)
        self._rule = rule
        self.damping = damping if isinstance(damping, Damping) else LevenbergMarquardt(damping)
        check_parts(self.rule.at(self.damping.lam), factors, inverse, control)
        self.layers, self._rest = trainable_layers(model)
        self.fallback = optimizer_of(self._rest, fallback)
        self.steps = 0
        self._ready = False
        named = [pair for layer in self.layers for pair in zip(layer.names, layer.parameters)]
        super().__init__(named, {"lr": lr, "damping": self.damping.lam})
        if self.fallback:
            self.param_groups += self.fallback.param_groups
        self._ready = True
        self.generator = torch.Generator(self.layers[0].weight.device)
        self.generator.manual_seed(torch.initial_seed())
        self._evaluate = Evaluation()
        self._cuts = Cuts()
        self._batch = Batch(self._cuts)
        self._curvature = Curvature(self.layers, self.rule, factors, inverse, self.state)
        self._needs = control.needs
        self._last: StepRecord | None = None
        self._capture = Capture(model, self.layers, self._observe)

    @torch.no_grad()
    def step(  # type: ignore[override]  # torch has no word for the loss that is handed over
        self, closure: Closure | None = None, loss: Tensor | float | None = None
    ) -> Tensor | float | None:
        """Update the weights from the last `loss.backward()`.

        Parameters
        ----------
        closure : callable, optional
            After `backward`, what computes the loss of the same batch, forward only, without gradients, before
            and after the update; the damping is adapted by (21). If the loss after the update is not finite, or
            higher than before and the damping rejects that, the update is undone and the damping raised.
            Without a backward pass before it, a closure as other optimizers of torch have it: it calls `zero_grad`
            and `backward` itself, once, and the damping does not learn what the step has done.
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
        if closure is not None and not self._batch.layers:
            with torch.enable_grad():
                loss, closure = closure(), None
        with torch.autocast(self.generator.device.type, enabled=False), loss_scale(self) as scale:
            self._batch.scale = scale
            if scale == 0.0:
                self._batch = Batch(self._cuts)
                return loss
            return self._step(closure, loss)

    def _step(self, closure: Closure | None, loss: Tensor | float | None) -> Tensor | float | None:
        before = loss.detach() if isinstance(loss, Tensor) else loss
        if before is None and closure is not None:
            before = self._evaluate(closure)
        if before is not None and not math.isfinite(before):
            raise ValueError(f"the loss before the step is {float(before)}: check the batch and the weights")

        self._last = None
        lam = self.param_groups[0]["damping"]
        rule = self.rule.at(lam)
        with self._curvature.including(self._batch, lam, self.damping.relative, rule) as blocks:
            scale, lengths = self._update(rule, blocks, lam, closure, before)
        self._batch = Batch(self._cuts)
        self.steps += 1
        self._last = StepRecord(self.rule.name, blocks.blocks, blocks.kept(), scale, lengths)
        return before

    def _update(
        self, rule: Preconditioner, blocks: Blocks, lam: float, closure: Closure | None, before: Tensor | float | None
    ) -> tuple[float, list[Tensor]]:
        """Change the weights; returns the scale and norms `[B]` of the updates of each stack."""
        group, stacks = self.param_groups[0], blocks.stacks
        lr, gradients = group["lr"], []
        for stack in stacks:
            gradients.append(stack.gradient())
        check_finite(stacks, gradients, "the gradient", "look for NaN or infinity in the batch and in the weights")
        if self._rest:
            check_gradients(self._rest)
        blocks.factorise(rule, self.inverse, gradients, lam, self.damping.relative, self.steps)
        context = self._context(blocks, gradients, lr, lam)
        along = [] if isinstance(self._needs, NeedsDual) else blocks.direction(gradients)
        step = self.control.move(stacks, along, blocks.velocity, context)
        scale = lr * step.scale
        lengths = step.lengths or [stack.norms(u) for stack, u in zip(stacks, step.updates)]
        largest = min(torch.finfo(length.dtype).max for length in lengths)
        if not abs(scale) * float(torch.cat(lengths).sum() if len(lengths) > 1 else lengths[0].sum()) < largest:
            updates = [scale * u for u in step.updates]
            check_finite(stacks, updates, "the new weight", "lower lr or raise the damping")

        after = closure and (lambda: float(self._evaluate(closure)))
        change, undone = apply_or_undo(stacks, step.updates, scale, self.fallback, after, before, self.damping)
        rho = None
        if change is not None and before is not None:
            trace = step.scale * dot(step.updates, gradients)
            rho = ratio(change, predicted(lr, trace, step.curvature), before)
        group["damping"] = self.damping.next(lam, rho, self._batch.relative_residual())
        blocks.remember(None if undone else step.velocity)
        if undone:
            self._curvature.forget_velocities()
        return 0.0 if undone else abs(scale), lengths

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
            return report(self.steps, self._last)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, and the factors that were collected with them."""
        self._evaluate.check()
        super().zero_grad(set_to_none)
        self._batch = Batch(self._cuts)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused: the parameters are those of the model's layers, found at construction."""
        if self._ready:
            raise ValueError("NGD takes its parameters from the model: build a new NGD for a changed model")
        super().add_param_group(param_group)

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on to the bit as if never interrupted.

        That is lr, damping, random state, number of steps, running factors, inverses and momentum.
        """
        own = self._saved().entry(self._curvature, self.steps, self.generator)
        return {**super().state_dict(), "ngd": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, by the names of the parameters; the argument is not changed.

        What was saved is cast to dtype and device of the weights.

        Raises
        ------
        ValueError
            If it is of another model or another kind of optimizer, or not complete. Nothing is changed then.
        """
        saved, own = self._saved(), state_dict.get("ngd", {})
        entries, groups = saved.checked(state_dict, self.param_groups)
        saved.load_fallback(own["fallback"])
        super().load_state_dict({"state": {}, "param_groups": groups})
        if self.fallback:
            self.param_groups[1:] = self.fallback.param_groups
        self.state.update({layer.weight: entries[layer.name] for layer in self.layers if entries[layer.name]})
        self._curvature.restore(self.state, own["active"], saved.groups(own["blocks"]), own["measured"])
        self.steps = own["steps"]
        self.generator.set_state(own["generator"].cpu())
        self._batch, self._last = Batch(self._cuts), None

    def __reduce__(self) -> tuple:
        """Copies and pickles come with their model: they are built anew around it and load the state."""
        parts = ("likelihood", "damping", "samples", "factors", "inverse", "control")
        options = {name: getattr(self, name) for name in parts} | {"rule": self._rule}
        return rebuilt, (type(self), self.model, options, self.fallback, self.state_dict())

    def _saved(self) -> Saved:
        return Saved(self.layers, self.rule, self.control, self.fallback, self.state)

    def _observe(self, record: Record, output: Tensor, gradient: Tensor) -> None:
        """Collect what one forward pass tells, in its backward pass."""
        self._evaluate.check()
        if self._batch.stale(self.layers):
            self._batch = Batch(self._cuts)
        batch, needs = self._batch, self._needs
        with torch.no_grad(), torch.autocast(output.device.type, enabled=False):
            rows, slopes = output.flatten(0, -2), gradient.flatten(0, -2)
            weigh(record, gradient)
            batch.add(record, len(rows))
            if self._curvature.due(self.steps, record):
                fresh = measure(
                    self.rule.needs,
                    self.factors,
                    record,
                    output,
                    self.layers,
                    self.likelihood,
                    self.samples,
                    self.generator,
                )
                batch.add_factors(record, *fresh)
            if isinstance(needs, NeedsFisher):
                batch.add_residual(self.likelihood, record, rows, slopes)
                batch.keep(self.model, record, output, needs.rows)
            if isinstance(needs, NeedsDual):
                batch.gradients.append(slopes)

    def _context(self, blocks: Blocks, gradients: Vector, lr: float, lam: float) -> StepContext:
        """What the control may ask about this step."""
        batch, model, likelihood = self._batch, self.model, self.likelihood

        def fisher() -> Fisher:
            return Fisher(model, likelihood, blocks.stacks, batch.calls)

        def dual() -> Dual:
            slopes = [g / batch.known_scale() for g in batch.gradients]
            return Dual(model, likelihood, blocks.stacks, batch.calls, slopes, gradients, blocks.halves())

        chain = list(batch.layers) if batch.chained else None
        return StepContext(gradients, lr, lam, blocks.damped, blocks.direction, fisher, batch.residual, dual, chain)

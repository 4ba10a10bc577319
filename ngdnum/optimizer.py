"""NGD: natural gradient descent as a `torch.optim.Optimizer`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from .checkpoint import Saving
from .checks import check_known, check_model, check_parts
from .control import Control, FixedStep, judged
from .curvature.curvature import Curvature
from .curvature.factors import Factors, check_samples
from .curvature.inverse import Inverse
from .damping import Damping, LevenbergMarquardt
from .fallback import Fallback, optimizer_of
from .fisher.primal import end_probes
from .groups import Groups, check_groups, check_rate
from .layers import trainable_layers
from .likelihood import Likelihood, check_likelihood
from .misfit import FirstLook
from .presets import Presets
from .proposal import Proposer
from .record.amp import full_precision, loss_scale
from .record.batch import Batch
from .record.capture import Capture, Record, refuse_empty
from .record.graph import Probing
from .record.observer import Observer
from .report import Report, StepRecord, report
from .rule import resolve
from .rules import Rule
from .trial import FORWARD_ONLY, Closure, Evaluation, Move, one_number, without_gradients
from .world import unwrapped, world_of


class NGD(Presets, Saving, torch.optim.Optimizer):
    r"""Natural gradient descent: W_i ← W_i + α ΔW_i with ΔW_i = rule(G_i, Λ̃_i, Λ_{i-1}).

    G_i = ⟨e_i x_{i-1}ᵀ⟩ is the negative gradient of the loss, Λ̃_i = ⟨e_i e_iᵀ⟩ and Λ_{i-1} =
    ⟨x_{i-1}x_{i-1}ᵀ⟩ are the Kronecker factors of the Fisher (Eq. 14, 15). The errors behind Λ̃ belong to
    targets drawn from the model, which are back-propagated during the ordinary `loss.backward()`. The plain
    constructor takes the step of the paper: (20) with α = 1, where the rule contains the 1/L.

    The training loss must be the mean over the batch of −log q, as `likelihood(model(x), y)` computes it.
    If you compute it yourself, keep that scale: with Σ̃ = I, n/2 times `nn.MSELoss`.

    Under `DistributedDataParallel`, all ranks together take the step of one process with the whole batch; all of
    them refuse it if one has to (see `ngdnum.world`).

    Parameters
    ----------
    model : nn.Module
        Its layers `nn.Linear` and `nn.Conv1d/2d/3d`, with or without bias, take natural-gradient steps. They
        may act on several positions of an example and be used several times. Examples lie along the first
        axis; the output is `[M, n_L]`, or `[M, …, n_L]` where each position counts as an example. It may be
        compiled; if it, or another of its kind, has run so before NGD is built, call `torch.compiler.reset()`.
        It may be wrapped in `DistributedDataParallel`, before or after NGD is built.
    likelihood : Likelihood
        q(y | f): `Gaussian()`, `Categorical()`, `Bernoulli()`, or any object with `log_density` and `sample`.
    lr : float, default 1.0
        α, the step size.
    rule : str, Rule, module or source text, default "kronecker"
        How G becomes ΔW, see `ngdnum.rule`.
    damping : float or Damping, default 1e-2
        λ of the first step; a number is adapted by (21) in `step(closure)`. It is absolute, as in the paper, or in
        units of inputs and errors: `LevenbergMarquardt(1.0, relative=True)`, for data in any units. With
        0.0 exactly, the undamped rule with Moore–Penrose inverses is used.
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
    weight_decay : float, default 0.0
        What a step takes off the weights, W ← (1 − lr · weight_decay) W + α ΔW, as in AdamW; biases do not decay, nor
        layers without a gradient. With lr = 0.6, 1.7e-5 is as strong as 1e-2 with AdamW's lr = 1e-3.
    groups : sequence of dict, optional
        Layers with an `lr` or a `weight_decay` of their own, as other optimizers of torch have them:
        `[{"params": model.head.parameters(), "lr": 0.1}]`. A layer is in one group; layers in none come first in
        `param_groups`. An `lr` there is a factor on the rule's direction of its layers, and the largest is the rate of
        the step control. λ is that of the first group.

    Attributes
    ----------
    generator : torch.Generator
        Source of the sampled targets, first seeded like torch's global generator, plus the rank.
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
        weight_decay: float = 0.0,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        check_model(model, lr)
        check_rate("weight_decay", weight_decay)
        check_likelihood(likelihood)
        check_samples(samples, likelihood)
        self._world = world = world_of(model)
        model = unwrapped(model)
        self.model, self.likelihood, self.samples = model, likelihood, samples
        self.factors, self.inverse, self.control, self._given_rule = factors, inverse, control, rule
        self.rule = resolve(rule, inverse.solver if isinstance(inverse, Inverse) else None)
        self.damping = damping if isinstance(damping, Damping) else LevenbergMarquardt(damping)
        check_parts(self.rule if self.damping.lam else self.rule.at_zero(), factors, inverse, control)
        self.layers, self._rest = trainable_layers(model)
        self._frozen = [p for p in model.parameters() if not p.requires_grad]
        self.fallback = optimizer_of(self._rest, fallback)
        common = {"lr": lr, "weight_decay": weight_decay}
        self._groups = Groups(model, self.layers, self._rest, groups, common)
        self._groups.start[0] |= {"damping": self.damping.lam, "quotient": 0.0}
        self._ready = False
        super().__init__(self._groups.start, common)
        if self.fallback:
            self.param_groups += self.fallback.param_groups
        check_groups(self.param_groups, len(self._groups.start))
        self._ready, self.steps = True, 0
        self.generator = torch.Generator(self.layers[0].weight.device)
        self.generator.manual_seed(torch.initial_seed() + (world.rank if world else 0))
        self._evaluate, self._batch = Evaluation(), Batch()
        kept = self.rule, factors, inverse, self.state
        self._curvature = Curvature(self.layers, self._groups.of, *kept, world, likelihood)
        self._look = FirstLook(likelihood)
        asked = self.rule, factors, samples, self.generator, control.needs, self.damping.relative, self._look
        self._observer = Observer(model, self.layers, likelihood, *asked)
        if world is not None:
            self._observer = self._observer.of_rank(world)
        self._proposer = Proposer(model, likelihood, self._rest, inverse, control, control.needs, world)
        self._last: StepRecord | None = None
        seen = (self._observe, refuse_empty) if world is None else (self._observe_or_tell, world.note_empty)
        self._capture = Capture(model, self.layers, *seen)

    @without_gradients
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
            If there was no backward pass through the model's output, or if `closure` calls `backward`; on several
            ranks also if another one cannot take the step, or if they are not about to take the same one.
        ValueError
            If the batch, the gradients or the new weights are not finite or too large, or for values in
            `param_groups` with which no step can be taken.
        torch.linalg.LinAlgError
            If a damped factor is not positive definite.

        Notes
        -----
        Whatever is raised, no weight has changed, nor anything else. An interrupt may also find the step complete:
        `steps` tells. Under autocast, a step keeps the precision of the weights.
        """
        if closure is not None and not self._batch.layers and not (self._world and self._world.empty):
            with torch.enable_grad():
                loss, closure = closure(), None
        with full_precision(self.generator.device), loss_scale(self) as scale:
            self._batch.scale = scale
            if scale == 0.0:
                self._batch = Batch()
                return loss
            take = self._step if self._world is None else partial(self._world.together, self._step)
            return take(closure, loss)

    def _step(self, closure: Closure | None, loss: Tensor | float | None) -> Tensor | float | None:
        before = None if loss is None else one_number(loss, "step must be given the loss")
        if before is None and closure is not None:
            before = self._evaluate(closure)
        if not self._look.over:
            self._look.at_loss(before, self._batch.scale, self._batch.count)
        if self._world is not None:
            before = self._world.begin(self._batch.part, before, self.steps, self.param_groups)
            self._batch = self._batch.on_all_ranks(self._world, self.generator.device)
        if before is not None and not math.isfinite(before):
            raise ValueError(f"the loss before the step is {float(before)}: check the batch and the weights")
        some_idle = len(self._batch.layers) < len(self.layers)
        if self._batch.measured or some_idle or any(p.grad is not None for p in self._frozen):
            check_known(self.model, {p for group in self.param_groups for p in group["params"]})
        check_groups(self.param_groups, len(self._groups.start))
        group, curvature = self.param_groups[0], self._curvature
        lam, quotient, old = group["damping"], group["quotient"], (self.steps, self._batch, self._last)
        used, rule = self._batch.used(self.layers, curvature.known), self.rule if lam else self.rule.at_zero()
        known, move = curvature.snapshot(), None
        try:
            draft = curvature.including(self._batch, used, lam, self.damping.relative, rule)
            blocks, rates = draft.blocks, self._groups.rates(self.param_groups, draft.blocks.stacks)
            step, slope, lengths = self._proposer.propose(
                self._batch, blocks, rule, rates, lam, draft.units, self.steps, quotient
            )
            scale, rho, undone = rates.lr * step.scale, None, False
            move = Move(blocks.stacks, step.updates, scale, rates.decays, self.fallback, closure is not None)
            if closure is not None and before is not None:
                own = partial(self._evaluate, closure)
                trial = own if self._world is None else partial(self._world.average, own)
                change, undone = move.on_trial(trial, before, self.damping)
                rho = judged(step, rates.lr, slope, change, before, undone)
            blocks.remember(None if undone else step.velocity, rates.relative)
            if undone:
                curvature.forget_velocities()
            kept, length = curvature.commit(draft, self.steps), 0.0 if undone else abs(scale)
            self._last = StepRecord(self.rule.name, blocks.blocks, kept, length, lengths)
            group["quotient"] = step.quotient
            if self.damping.relative:
                residual = self._batch.relative_residual(self._world.sums if self._world else None)
                group["damping"] = self.damping.next(lam, rho, residual)
            else:
                group["damping"] = self.damping.next(lam, rho)
            self._batch, self.steps = Batch(), self.steps + 1
            move.finish(self._world)
        except BaseException:
            end_probes()
            Probing.end()
            if move is None or move.undo():
                curvature.put_back(known)
                self.steps, self._batch, self._last = old
                group["damping"], group["quotient"] = lam, quotient
            raise
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
            return report(self.steps, self._last)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, and the factors that were collected with them."""
        self._check_no_closure()
        super().zero_grad(set_to_none)
        self._batch = Batch()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused: the parameters are those of the model's layers, found at construction."""
        if self._ready:
            raise ValueError("NGD takes its parameters from the model: build a new NGD for a changed model")
        super().add_param_group(param_group)

    def _observe(self, record: Record, output: Tensor, gradient: Tensor) -> None:
        """Collect what one forward pass tells, in its backward pass, or what one more loss of it adds."""
        self._check_no_closure()
        if self._batch.stale(self.layers):
            self._batch = Batch()
        known, quotient = self._curvature.known, self.param_groups[0]["quotient"]
        self._observer.observe(self._batch, record, output, gradient, self.steps, quotient, known)

    def _observe_or_tell(self, record: Record, output: Tensor, gradient: Tensor) -> None:
        """The same, in a backward pass that the other ranks wait for: what goes wrong is told in the step."""
        self._check_no_closure()
        try:
            self._observe(record, output, gradient)
        except Exception as error:
            self._batch.layers |= dict.fromkeys(record.edges)
            self._batch.error = self._batch.error or error

    def _check_no_closure(self) -> None:
        if self._evaluate.running:
            raise RuntimeError(FORWARD_ONLY)

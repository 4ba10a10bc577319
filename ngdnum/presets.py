"""Choices of all parts of a step that go well together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from torch import nn

from .control import DualConjugateGradient, OutputNormalised
from .curvature.factors import Factors
from .curvature.inverse import Inverse
from .damping import Decay, LevenbergMarquardt
from .likelihood import Likelihood


class Presets:
    """Other constructors of `NGD`; `options` are those of its own and replace the preset's."""

    @classmethod
    def paper(cls, model: nn.Module, likelihood: Likelihood, **options: Any) -> Self:
        """The paper's algorithm: Eq. 20 with α = 1 and one sampled target per example, λ by Eq. 21.

        The same as the plain constructor; call `step(closure)`, so that λ can follow the loss. λ is absolute, as in
        the paper, so that steps depend on the units of inputs and targets; with
        `damping=LevenbergMarquardt(1.0, relative=True)` they do not. `options` are those of the constructor and
        replace the preset's.
        """
        make: Callable[..., Self] = cls
        return make(model, likelihood, **options)

    @classmethod
    def fast(cls, model: nn.Module, likelihood: Likelihood, **options: Any) -> Self:
        """Cheap, robust steps for any network: a good default, best with batches of a few hundred examples.

        The rule whitens gradients by the factors and equalises what is left (`fisher_shampoo`). Factors are running
        means, measured at every 64th step and inverted at every 128th, more often at first; Nesterov momentum; each
        step changes the outputs by `lr` = 0.6 of their residual (`OutputNormalised`); a model that is more than layers
        one after the other runs again for it, on a few examples, at every 16th step. Let a scheduler lower `lr` to 1 %
        over the run. λ is relative to the sizes of inputs and errors (`ngdnum.curvature.units`), so the data may be in
        any units. `options` are those of the constructor and replace the preset's: `rule="pi_damped"` with
        `Inverse(every=128, solver="low_rank")` is the natural gradient itself, which generalises better from few
        examples that are seen often.

        The rate of `fallback`, which moves norms and embeddings, counts as much as `lr`: for embeddings, try 3e-2 with
        AdamW.

        Since the outputs set the length of a step, `clip_grad_norm_` does not shorten it: a clipped gradient counts
        less in the momentum only. Lower `lr` or the control's `second_order_bound` instead.

        Examples
        --------
        >>> import torch
        >>> from torch import nn
        >>> from ngdnum import NGD, Gaussian
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(100, 3); y = x @ torch.randn(3, 2)
        >>> model, likelihood = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), Gaussian()
        >>> opt = NGD.fast(model, likelihood)
        >>> for _ in range(50):
        ...     opt.zero_grad()
        ...     loss = likelihood(model(x), y)
        ...     loss.backward()
        ...     opt.step()
        >>> bool(loss < 1e-3)
        True
        """
        preset = {
            "lr": 0.6,
            "rule": "fisher_shampoo",
            "damping": Decay(0.1, steps=30.0, floor=1e-2, relative=True),
            "factors": Factors(every=64, decay=0.8, rows=200),
            "inverse": Inverse(every=128),
            "control": OutputNormalised(momentum=0.8, rows=16, every=16),
        }
        make: Callable[..., Self] = cls
        return make(model, likelihood, **(preset | options))

    @classmethod
    def sample_efficient(cls, model: nn.Module, likelihood: Likelihood, **options: Any) -> Self:
        """As few examples as possible; best with small batches.

        Factors are measured and inverted at every step, and averaged over ten. They precondition five
        conjugate-gradient steps on the exact Fisher of the batch (`DualConjugateGradient`). λ is relative
        to the sizes of inputs and errors (`ngdnum.curvature.units`), so the data may be in any units; it starts at 0.1
        and follows the loss by factors of 2, down to 1e-6 of the relative residual. A step that raises the loss of its
        batch is undone. Call `step(closure, loss=loss)`, or λ stays. The batch size is yours: 100 does well in
        Figure 1A–D. A step costs several of `fast`; in wide layers, `inverse=Inverse(every=2)` saves time. `options`
        are those of the constructor and replace the preset's.

        Examples
        --------
        >>> import torch
        >>> from torch import nn
        >>> from ngdnum import NGD, Gaussian
        >>> _ = torch.manual_seed(0)
        >>> target = torch.randn(3, 2)
        >>> model, likelihood = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), Gaussian()
        >>> opt = NGD.sample_efficient(model, likelihood)
        >>> for _ in range(20):
        ...     x = torch.randn(10, 3); y = x @ target
        ...     opt.zero_grad()
        ...     loss = likelihood(model(x), y)
        ...     loss.backward()
        ...     _ = opt.step(lambda: likelihood(model(x), y), loss=loss)
        >>> bool(loss < 1e-6)
        True
        """
        preset = {
            "rule": "pi_damped",
            "damping": LevenbergMarquardt(0.1, floor=1e-6, factor=2.0, reject=True, relative=True),
            "factors": Factors(every=1, decay=0.9),
            "inverse": Inverse(solver="inverse"),
            "control": DualConjugateGradient(steps=5),
        }
        make: Callable[..., Self] = cls
        return make(model, likelihood, **(preset | options))

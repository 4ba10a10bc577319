"""A pass of the model run again: with the random numbers it had, with fewer examples, and leaving no trace."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


class RandomState(NamedTuple):
    """States of the global generators: torch's of the CPU and of the weights' CUDA device, Python's and NumPy's.

    The last two take long to read, and are left out of a model of torch's own modules alone.
    """

    cpu: Tensor
    cuda: Tensor | None
    others: tuple[Any, Any] | None

    def resume(self, device: torch.device) -> None:
        """Make the next random numbers those that came after this state."""
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, device)
        if self.others is not None:
            python, numpy = self.others
            random.setstate(python)
            np.random.set_state(numpy)


ONE_AT_A_TIME = threading.RLock()
"""Held while what all threads share is changed: generators, and the level of forward-mode derivatives.

Take it by `with ONE_AT_A_TIME:` in the function that needs it. A context manager made of a generator would keep it as
long as the traceback of an interrupt lives that came before its body had begun.
"""


def own(argument: Any) -> Any:
    """The same, with tensors and containers of its own: a change of the one is none of the other."""
    if isinstance(argument, Tensor):
        return argument.clone()
    if type(argument) in (list, tuple):
        return type(argument)(map(own, argument))
    return {name: own(value) for name, value in argument.items()} if type(argument) is dict else argument


@contextlib.contextmanager
def replaying(state: RandomState | None, device: torch.device) -> Iterator[None]:
    """Within, random numbers are those after `state`, code is not compiled, and attention has all derivatives.

    Hold `ONE_AT_A_TIME`. Outside, the next random numbers are what they were. Compiled code, the fused kernels of
    `scaled_dot_product_attention` and those of attention in evaluation mode have no forward-mode derivatives.
    """
    python, numpy, fused = random.getstate(), np.random.get_state(), torch.backends.mha.get_fastpath_enabled()
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.compiler.set_stance("force_eager"),
        sdpa_kernel(SDPBackend.MATH),
    ):
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            if state is not None:
                state.resume(device)
            yield
        except Exception as error:
            error.add_note(
                "This came up where NGD ran the model again to measure a step. Forward hooks and functions of your own "
                "run there too, some of them without gradients or with forward-mode derivatives (`jvp`)."
            )
            raise
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            torch.backends.mha.set_fastpath_enabled(fused)


@contextlib.contextmanager
def in_training(model: nn.Module, training: Collection[nn.Module]) -> Iterator[None]:
    """Within, the modules in `training` are in training mode, and all others of `model` in evaluation mode."""
    changed = [module for module in model.modules() if module.training != (module in training)]
    try:
        for module in changed:
            module.training = not module.training
        yield
    finally:
        for module in changed:
            module.training = not module.training


def same_rows(model: nn.Module, whole: Callable[[], Tensor], part: Callable[[], Tensor]) -> bool:
    """Whether the rows of `part()` are the first ones of `whole()`, both outputs of `model` in evaluation mode.

    If not, what was cut to make the part has no row for each example.
    """
    with torch.no_grad(), in_training(model, ()):
        expected = whole()
        try:
            found = part()
        except Exception:  # whatever the model says to arguments that do not fit together
            return False
    first = expected[: len(found)]
    near = torch.finfo(found.dtype).eps ** 0.5
    return first.shape == found.shape and torch.allclose(found, first, near, near * float(first.abs().max()), True)

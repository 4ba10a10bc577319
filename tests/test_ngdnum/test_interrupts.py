"""A step that is interrupted, wherever it is, is undone or complete; the next one goes on from there."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ngdnum import NGD, ConjugateGradient, Gaussian, LevenbergMarquardt
from support.interrupts import bytecodes, c_calls, interrupted, signalled

ADAM = partial(torch.optim.AdamW, lr=0.02)
MAKE: dict[str, Callable[..., NGD]] = {
    "paper": NGD.paper,
    "fast": NGD.fast,
    "sample_efficient": NGD.sample_efficient,
    "rejecting": partial(NGD.paper, damping=LevenbergMarquardt(0.1, reject=True)),
    "decaying": partial(NGD.fast, weight_decay=0.1),
    "iterating": partial(NGD.fast, control=ConjugateGradient()),
}


class Trial:
    """A step of the same optimizer, from the same state, again and again."""

    def __init__(self, make: Callable[..., NGD], closed: bool, others: bool) -> None:
        torch.manual_seed(0)
        layers = [nn.Linear(3, 4), *([nn.LayerNorm(4)] if others else []), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 2)]
        self.model = nn.Sequential(*layers).double()
        self.opt = make(self.model, Gaussian(), **({"fallback": ADAM} if others else {}))
        self.closed = closed
        for k in range(3):
            self.backward(k)
            self.step()
        self._saved = copy.deepcopy((self.model.state_dict(), self.opt.state_dict()))
        self.before = copy.deepcopy(self.seen())
        self.backward(3)
        self.step()
        self.after = copy.deepcopy(self.seen())

    def backward(self, k: int) -> None:
        generator = torch.Generator().manual_seed(k)
        self.x = torch.randn(8, 3, dtype=torch.float64, generator=generator)
        self.y = torch.randn(8, 2, dtype=torch.float64, generator=generator)
        self.opt.zero_grad()
        self.loss = Gaussian()(self.model(self.x), self.y)
        self.loss.backward()

    def step(self) -> None:
        if self.closed:
            self.opt.step(lambda: Gaussian()(self.model(self.x), self.y), loss=self.loss)
        else:
            self.opt.step()

    def ready(self) -> None:
        """Everything as before the step."""
        model, opt = self._saved
        self.model.load_state_dict(model)
        self.opt.load_state_dict(opt)
        self.backward(3)

    def seen(self) -> dict[str, Any]:
        """All that a step changes; the next random numbers are drawn in `backward`."""
        state = self.opt.state_dict()
        state["ngd"].pop("generator")
        return {"weights": list(self.model.parameters()), **state}

    def verdict(self) -> str:
        """What has become of the step."""
        now = self.seen()
        if same(now, self.after):
            return "complete"
        if not same(now, self.before):
            return "half done"
        self.step()  # the batch is still there
        return "undone" if same(self.seen(), self.after) else "lost"


def same(first: object, second: object) -> bool:
    """Whether two trees of tensors and other values are equal, but for times."""
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.equal(second)
    if isinstance(first, dict):
        return (
            isinstance(second, dict)
            and first.keys() == second.keys()
            and all(map(same, first.values(), second.values()))
        )
    if isinstance(first, (tuple, list)):
        return isinstance(second, (tuple, list)) and len(first) == len(second) and all(map(same, first, second))
    return first == second


def bad(trial: Trial, points: range) -> list[str]:
    """Interrupts after which the step is neither undone nor complete."""
    found = []
    for k in points:
        trial.ready()
        raised, where = interrupted(trial.step, k)
        verdict = trial.verdict()
        if not raised or verdict not in ("undone", "complete"):
            found.append(f"{k} at {where}: {verdict if raised else 'swallowed'}")
    return found


@pytest.mark.what_if(
    "training loops",
    "an interrupt comes at any point of `step`",
    "the step is undone or complete, and the next one goes on from there",
)
@pytest.mark.parametrize("others", [False, True], ids=["layers", "fallback"])
@pytest.mark.parametrize("closed", [False, True], ids=["plain", "closure"])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_an_interrupt_anywhere_undoes_the_step_or_finds_it_complete(
    make: Callable[..., NGD], closed: bool, others: bool
) -> None:
    trial = Trial(make, closed, others)
    trial.ready()
    count = bytecodes(trial.step)
    assert trial.verdict() == "complete"
    assert not bad(trial, range(1 + (closed + 2 * others) * 13, count, 601))


@pytest.mark.what_if(
    "training loops",
    "Ctrl-C is pressed within `step`",
    "the step is undone or complete, and the next one goes on from there",
)
@pytest.mark.skipif(sys.platform == "win32", reason="no signals that a process sends to itself")
@pytest.mark.parametrize("make", [NGD.fast, NGD.sample_efficient], ids=["fast", "sample_efficient"])
def test_a_signal_at_any_call_of_torch_undoes_the_step_or_finds_it_complete(
    make: Callable[..., NGD], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where torch itself has called Python, as in a backward pass.

    What is raised while Python closes a generator, it drops; then the step goes on as if nothing had come.
    """
    dropped: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)
    trial = Trial(make, True, True)
    trial.ready()
    count, found = c_calls(trial.step), {}
    stride = count // 40
    for k in range(1, count - 2 * stride, stride):  # the last calls are of torch.no_grad and of torch's hooks
        trial.ready()
        dropped.clear()
        found[k] = trial.verdict() if signalled(trial.step, k) or dropped else "swallowed"
    assert set(found.values()) <= {"undone", "complete"}, found


@pytest.mark.what_if(
    "training loops",
    "an interrupt comes as `step` switches gradients off or on",
    "they are as they were, and the step is undone or complete",
)
@pytest.mark.parametrize("closed", [False, True], ids=["plain", "closure"])
def test_an_interrupt_leaves_gradients_switched_as_they_were(closed: bool) -> None:
    """At each bytecode of torch's own context managers."""
    switches = torch.autograd.grad_mode.__file__, torch.utils._contextlib.__file__
    trial = Trial(NGD.fast, closed, True)
    trial.ready()
    for k in range(1, bytecodes(trial.step, switches)):
        trial.ready()
        raised, where = interrupted(trial.step, k, switches)
        on = torch.is_grad_enabled()
        torch.set_grad_enabled(True)
        assert raised and on and trial.verdict() in ("undone", "complete"), where

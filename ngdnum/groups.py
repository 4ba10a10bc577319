r"""Parameter groups, as `torch.optim` has them: learning rate and weight decay of some layers.

With α the largest learning rate of the layers that take part in a step, the direction of a layer counts lr/α times
before the step control sees it, so that what is measured, bounded or predicted is the step that is taken. Weights
decay by themselves, as in AdamW (Loshchilov and Hutter 2019):

.. math::

    W_i \leftarrow (1 - \text{lr}_i \, \text{weight\_decay}_i) \, W_i + \alpha \, u_i
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

from torch import Tensor, nn

from .curvature.block import Halves
from .layers import Layer
from .stack import Stack

Group = dict[str, Any]


class Rates(NamedTuple):
    """α, and for each stack lr/α and lr · weight_decay."""

    lr: float
    relative: list[float]
    decays: list[float]

    def halves(self, stacks: list[Stack], halves: Halves) -> Halves:
        """What rules do to the left and right of G for each layer of `stacks`, at the rates of this step."""
        relative = [r for stack, r in zip(stacks, self.relative) for _ in stack.members]
        return [(left if r == 1 else _times(r, left), right) for (left, right), r in zip(halves, relative)]


class Groups:
    """Which layer is in which group of `opt.param_groups`.

    Attributes
    ----------
    start : list of dict
        The groups as they begin: first the layers that are in none of those given, then those given.
    of : list of int
        The group of each layer.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: list[Layer],
        rest: Mapping[str, nn.Parameter],
        given: Sequence[Mapping[str, Any]],
        common: Mapping[str, float],
    ) -> None:
        chosen: dict[nn.Parameter, int] = {}
        for k, group in enumerate(given):
            _check_given(k, group, common)
            for parameter in _parameters(k, group):
                if chosen.setdefault(parameter, k) != k:
                    raise ValueError(f"{_name(model, parameter)!r} is in groups[{chosen[parameter]}] and groups[{k}]")
        _check_owned(model, chosen, rest)
        members: dict[int, list[int]] = {}
        for i, layer in enumerate(layers):
            own = {chosen.get(parameter, -1) for parameter in layer.parameters}
            if len(own) > 1:
                raise ValueError(
                    f"weight and bias of layer {layer.name!r} are in different groups, but take their steps as one "
                    "matrix: put both into the same group; weight_decay never acts on biases"
                )
            members.setdefault(own.pop(), []).append(i)
        self.start: list[Group] = []
        self.of = [0] * len(layers)
        for k in sorted(members):
            named = [pair for i in members[k] for pair in zip(layers[i].names, layers[i].parameters)]
            options = {} if k < 0 else {name: value for name, value in given[k].items() if name != "params"}
            for i in members[k]:
                self.of[i] = len(self.start)
            self.start.append({**common, **options, "params": named})

    def rates(self, groups: list[Group], stacks: list[Stack]) -> Rates:
        """Those of a step of these stacks."""
        if len(self.start) == 1:
            lr, decay = groups[0]["lr"], groups[0]["weight_decay"]
            return Rates(lr, [1.0] * len(stacks), [lr * decay] * len(stacks))
        own = [groups[self.of[next(iter(stack.members))]] for stack in stacks]
        lr = max(group["lr"] for group in own)
        relative = [group["lr"] / lr if lr else 1.0 for group in own]
        return Rates(lr, relative, [group["lr"] * group["weight_decay"] for group in own])


def check_groups(groups: list[Group], own: int) -> None:
    """Refuse a learning rate, a damping, a quotient or a weight decay with which no step can be taken.

    The first `own` are of layers, the others of the fallback optimizer.

    Raises
    ------
    ValueError
        If one is missing, negative, infinite or no number, or if lr · weight_decay of layers is more than 1.
    """
    for k, group in enumerate(groups):
        for name in ("lr", "weight_decay") if k else ("damping", "quotient", "lr", "weight_decay"):
            value = group.get(name)
            if (k < own or isinstance(value, Real)) and (type(value) is not float or not 0 <= value < math.inf):
                check_rate(f"{name} in param_groups[{k}]", value)
        if k < own and group["lr"] * group["weight_decay"] > 1:
            raise ValueError(
                f"lr · weight_decay in param_groups[{k}] is {group['lr'] * group['weight_decay']:g}, and a step takes "
                "that part of the weights away: lower weight_decay"
            )


def check_rate(name: str, value: object) -> None:
    """Refuse anything but a finite number ≥ 0."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
        raise ValueError(f"{name} must be a finite number ≥ 0; it is {value!r}, so no weight was changed")


def _check_given(k: int, group: object, common: Mapping[str, float]) -> None:
    """Refuse what is no group."""
    if not isinstance(group, Mapping) or "params" not in group:
        raise TypeError(f"groups[{k}] must be a dict with an entry 'params', not {group!r}")
    unknown = sorted(map(str, group.keys() - {"params", *common}))
    if unknown:
        raise ValueError(f"groups[{k}] has {', '.join(unknown)}; a group of layers has params, {' and '.join(common)}")
    for name, value in group.items():
        if name != "params":
            check_rate(f"{name} of groups[{k}]", value)


def _parameters(k: int, group: Mapping[str, Any]) -> list[nn.Parameter]:
    """What is trained of the parameters of a group."""
    given = group["params"]
    params: list[nn.Parameter] = [given] if isinstance(given, nn.Parameter) else list(given)
    for parameter in params:
        if not isinstance(parameter, nn.Parameter):
            raise TypeError(
                f"groups[{k}]['params'] must be parameters of the model, such as model.head.parameters(); it has "
                f"{type(parameter).__name__}"
            )
    return [parameter for parameter in params if parameter.requires_grad]


def _check_owned(model: nn.Module, chosen: Mapping[nn.Parameter, int], rest: Mapping[str, nn.Parameter]) -> None:
    """Refuse parameters in groups that NGD does not step."""
    names = {parameter: name for name, parameter in rest.items()}
    known = set(model.parameters())
    for parameter, k in chosen.items():
        if parameter in names:
            raise ValueError(
                f"groups[{k}] has {names[parameter]!r}, which the fallback optimizer updates: leave it out here; what "
                "fallback makes may have groups of its own"
            )
        if parameter not in known:
            raise ValueError(f"groups[{k}] has a parameter of shape {tuple(parameter.shape)} that the model has not")


def _times(r: float, half: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda G: r * half(G)


def _name(model: nn.Module, parameter: nn.Parameter) -> str:
    return next((name for name, p in model.named_parameters() if p is parameter), "a parameter")

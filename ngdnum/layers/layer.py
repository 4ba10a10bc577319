"""What NGD asks of a layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Size, Tensor, nn

from .homogeneous import homogeneous


@dataclass(frozen=True, eq=False)
class Layer(ABC):
    """A trainable layer under its name in the model; `bias` is None if there is none, or it is not trained.

    A type of layers says which modules it is for and implements what is abstract here: how numbers at the input
    and at the output become rows, and what the module makes of an input.
    """

    name: str
    module: nn.Module
    weight: nn.Parameter
    bias: nn.Parameter | None

    label: ClassVar[str]
    """The modules in error messages."""
    modules: ClassVar[tuple[type[nn.Module], ...]]
    """The modules it is for."""
    methods: ClassVar[tuple[str, ...]] = ("forward",)
    """What makes them what they are: a module with another one of these is something else."""

    @classmethod
    def resembles(cls, module: nn.Module) -> bool:
        """Whether `module` is of the right class, or of one derived from it."""
        return isinstance(module, cls.modules)

    @classmethod
    def takes(cls, module: nn.Module) -> bool:
        """Whether `module` is one of `modules` and computes what torch's does, not something of its own."""
        return any(
            isinstance(module, kind)
            and all(getattr(type(module), method) is getattr(kind, method) for method in cls.methods)
            and not vars(module).keys() & set(cls.methods)
            for kind in cls.modules
        )

    @property
    def parameters(self) -> tuple[nn.Parameter, ...]:
        """The weight, and the bias if it is trained."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters in the model."""
        return tuple(join_names(self.name, kind) for kind in ("weight", "bias")[: len(self.parameters)])

    @property
    def groups(self) -> int:
        """Number of matrices."""
        return 1

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m) of a weight matrix, the bias column included."""
        return len(self.weight) // self.groups, self.weight[0].numel() + (self.bias is not None)

    @final
    def matrix(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """`[n, m]`, or `[g, n, m]` with groups, from tensors shaped like the parameters."""
        matrix = weight.flatten(1)
        if self.groups > 1:
            matrix = matrix.unflatten(0, (self.groups, -1))
        return matrix if bias is None else torch.cat([matrix, bias.view(*matrix.shape[:-1], 1)], -1)

    @final
    def pieces(self, matrix: Tensor) -> tuple[Tensor, ...]:
        """Tensors shaped like the parameters: the inverse of `matrix`."""
        weight = matrix if self.bias is None else matrix[..., :-1]
        if weight.shape != self.weight.shape:
            weight = weight.reshape(self.weight.shape)
        return (weight,) if self.bias is None else (weight, matrix[..., -1].flatten())

    @final
    def homogeneous(self, rows: Tensor) -> Tensor:
        """`rows` `[…, m]`, with a 1 at the end of each if the layer has a bias: what `matrix` acts on."""
        return rows if self.bias is None else homogeneous(rows)

    @abstractmethod
    def act(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """What the layer would make of `x` with this weight and bias."""

    @abstractmethod
    def input_rows(self, x: Tensor) -> Tensor:
        """What the matrix acts on, `[M·T, m]` or `[g, M·T, m]`, without the 1 of the bias, in its dtype."""

    @abstractmethod
    def output_rows(self, e: Tensor) -> Tensor:
        """Numbers at the output, `[M·T, n]` or `[g, M·T, n]`, in the order of the input's rows."""

    @abstractmethod
    def output(self, rows: Tensor, shape: Size) -> Tensor:
        """What has these rows and `shape`: the inverse of `output_rows`."""

    @abstractmethod
    def positions(self, x: Tensor) -> int:
        """How many positions an example of `x` has."""

    @abstractmethod
    def fits(self, x: Tensor) -> tuple[bool, str]:
        """Whether `x` has an axis for examples, and the shape it should have, in words."""

    @final
    def check_input(self, x: Tensor) -> None:
        """Raise ValueError for inputs that have no first axis for examples."""
        fits, axes = self.fits(x)
        if not fits:
            raise ValueError(
                f"layer {self.name!r} got an input of shape {tuple(x.shape)}; NGD needs {axes}, the examples "
                "along the first axis"
            )


def check_weights(layers: Iterable[Layer]) -> None:
    """Refuse layers whose modules have other weights than they had."""
    names = [layer.name for layer in layers if layer.module.weight is not layer.weight]
    if names:
        raise ValueError(
            "weights that were replaced after NGD was built, as by pruning and parametrizations, in layers "
            f"{', '.join(map(repr, names))}; no weight was changed: build a new NGD"
        )


def join_names(path: str, kind: str) -> str:
    """The name in the model of a parameter of the module at `path`."""
    return f"{path}.{kind}" if path else kind

"""Classifiers of images: fully connected, convolutional with norms, and twenty layers deep without."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from ..data import Examples, Problem, digit_labels, digits
from ..errors import accuracy, cross_entropy
from ..likelihood import Categorical

CLASSES = 10
DEEP = (784, *[100] * 19, CLASSES)  # 20 layers
HE = 2**0.5  # gain of ReLU


def layers(sizes: tuple[int, ...], activation: Callable[[], nn.Module], gain: float | None) -> nn.Sequential:
    """Linear layers with activations between them; entries of the weights ~ N(0, `gain`²/n_in), None: torch's own."""
    modules: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layer = nn.Linear(n_in, n_out)
        if gain is not None:
            nn.init.normal_(layer.weight, std=gain * n_in**-0.5)
            nn.init.zeros_(layer.bias)
        modules += [layer, activation()]
    return nn.Sequential(*modules[:-1])


def mlp() -> nn.Module:
    """784-200-100-10 with ReLU, torch's initial weights."""
    return layers((784, 200, 100, CLASSES), nn.ReLU, None)


def cnn() -> nn.Module:
    """Three convolutions with BatchNorm and ReLU, stride 2 in the first and third, mean over pixels, linear."""
    modules: list[nn.Module] = [nn.Unflatten(1, (1, 28, 28))]
    for n_in, n_out, stride in ((1, 8, 2), (8, 16, 1), (16, 32, 2)):
        modules += [nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES))


def relu20() -> nn.Module:
    """20 layers with ReLU, torch's initial weights: what passes through shrinks from layer to layer."""
    return layers(DEEP, nn.ReLU, None)


def relu20_he() -> nn.Module:
    """20 layers with ReLU, He's initial weights: what passes through keeps its size."""
    return layers(DEEP, nn.ReLU, HE)


def tanh20() -> nn.Module:
    """20 layers with tanh, entries of the weights ~ N(0, 1/n_in)."""
    return layers(DEEP, nn.Tanh, 1.0)


def classification(network: Callable[[], nn.Module]) -> Callable[[int, Path | None], Problem]:
    """Tell digits (or the classes of a folder's images) apart; the seed decides the initial weights of `network`."""

    def problem(seed: int, data: Path | None) -> Problem:
        *images, source = digits(data)
        train, validation, test = (Examples(x, y) for x, y in zip(images, digit_labels(data)))
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            model = network()
        return Problem(train, validation, test, model, None, source, Categorical(), cross_entropy, accuracy)

    return problem

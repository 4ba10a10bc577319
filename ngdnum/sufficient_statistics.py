"""All that a linear network can learn from any number of examples, in a few examples."""

from __future__ import annotations

import torch
from torch import Tensor

from .layers import homogeneous
from .record.batch import compress_rows


class SufficientStatistics:
    r"""The sufficient statistics of linear regression, given out as a small set of examples.

    For a linear network of any depth, with or without biases, and a `Gaussian` likelihood, the loss, its
    gradient and the Fisher depend on the examples only through their mean second moments. Kept is a matrix R
    of no more rows than columns with

    .. math::

        R^\top R = \sum_m z_m z_m^\top, \qquad z_m = [x_m; 1; y_m],

    brought up to date by a QR decomposition of [R; new rows], which never squares a number. With k rows in R
    after M examples, `examples` returns the x̂ and ŷ of

    .. math::

        [\hat x, \mathbf 1, \hat y] = \sqrt{k/M}\; Q R, \qquad Q^\top Q = I,

    with Q the reflection (up to its sign) that turns the column of the constants, of norm √k, into ones. So means
    over x̂, ŷ are means over everything seen: take as many steps on this full batch as you like, each at the
    cost of k examples.

    Wherever the network is not linear between x and the loss, this does not hold. Layers that stay fixed may do
    anything: call what they return x.

    Attributes
    ----------
    count : int
        M, the number of examples seen.
    root : Tensor or None
        R `[k, n_0 + 1 + n_L]`, in double precision: in single precision, rounding adds up over thousands of
        updates.
    inputs : int
        n_0.
    dtype : torch.dtype
        Precision of the first x, in which `examples` are given.

    Examples
    --------
    Eight linear layers learn from 20 times 10 examples, each of them seen once:

    >>> from torch import nn
    >>> from ngdnum import NGD, Gaussian, LevenbergMarquardt
    >>> _ = torch.manual_seed(0)
    >>> true = torch.randn(5, 3, dtype=torch.float64)
    >>> model = nn.Sequential(*[nn.Linear(5, 5) for _ in range(7)], nn.Linear(5, 3)).double()
    >>> for layer in model:
    ...     _ = nn.init.orthogonal_(layer.weight)
    >>> likelihood, statistics = Gaussian(), SufficientStatistics()
    >>> opt = NGD(model, likelihood, samples=None, damping=LevenbergMarquardt(1e-2, factor=4.0, reject=True))
    >>> for _ in range(20):
    ...     x = torch.randn(10, 5, dtype=torch.float64)
    ...     y = x @ true + 1e-3 * torch.randn(10, 3, dtype=torch.float64)
    ...     statistics.update(x, y)
    ...     x_hat, y_hat = statistics.examples()
    ...     for _ in range(5):
    ...         opt.zero_grad()
    ...         loss = likelihood(model(x_hat), y_hat)
    ...         loss.backward()
    ...         _ = opt.step(lambda: likelihood(model(x_hat), y_hat), loss=loss)
    >>> statistics.count, tuple(x_hat.shape), tuple(y_hat.shape)
    (200, (9, 5), (9, 3))
    >>> bool(loss < 1.1 * 3 / 2 * 1e-6)              # half the variance of the noise, summed over outputs
    True
    """

    def __init__(self) -> None:
        self.count = 0
        self.inputs = 0
        self.dtype = torch.get_default_dtype()
        self.root: Tensor | None = None

    @torch.no_grad()
    def update(self, x: Tensor, y: Tensor) -> None:
        """Include M more examples, x `[M, n_0]` and y `[M, n_L]`.

        Raises
        ------
        ValueError
            If there is no example, if shapes do not fit each other or those before, or if an entry is not a
            finite floating-point number. The statistics are as before then.
        """
        _check(x, y)
        rows = torch.cat([homogeneous(x.double()), y.double()], 1)
        if self.root is not None:
            before = self.inputs, self.root.shape[1] - self.inputs - 1
            if (x.shape[1], y.shape[1]) != before:
                raise ValueError(
                    f"these examples have {x.shape[1]} inputs and {y.shape[1]} outputs, those before had "
                    f"{before[0]} and {before[1]}: begin a new SufficientStatistics() for another task"
                )
            rows = torch.cat([self.root, rows])
        else:
            self.inputs, self.dtype = x.shape[1], x.dtype
        self.root = compress_rows(rows)
        self.count += len(x)

    @torch.no_grad()
    def examples(self) -> tuple[Tensor, Tensor]:
        """x̂ `[k, n_0]` and ŷ `[k, n_L]` with the mean and the mean second moments of all examples seen.

        k is n_0 + 1 + n_L, or M while it is smaller.

        Raises
        ------
        RuntimeError
            If there was no `update` yet.
        """
        if self.root is None:
            raise RuntimeError("no examples yet: call update(x, y) first")
        scaled = (len(self.root) / self.count) ** 0.5 * self.root
        axis = scaled[:, self.inputs] + 1.0  # never near zero: this column is all ones, or ends in n_L zeros
        turned = torch.outer(axis, 2 / axis.dot(axis) * (axis @ scaled)) - scaled
        x, _, y = turned.to(self.dtype).tensor_split([self.inputs, self.inputs + 1], 1)
        return x, y


def _check(x: Tensor, y: Tensor) -> None:
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(
            f"x must be [M, n_0] and y [M, n_L], one example a row; got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if not (x.numel() and y.numel()):
        raise ValueError(
            f"there is nothing in x of shape {tuple(x.shape)} or y of shape {tuple(y.shape)}: leave out empty batches"
        )
    for name, values in (("x", x), ("y", y)):
        if not values.is_floating_point():
            raise ValueError(f"{name} must be of floating point, as the network is; got {values.dtype}")
        if not values.isfinite().all():
            raise ValueError(f"{name} has entries that are not finite: leave these examples out")

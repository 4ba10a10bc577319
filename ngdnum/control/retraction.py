"""Large steps of deep linear networks: move the product of the weights, not each factor, along the direction."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..fisher.primal import Vector
from ..rules.linalg import pseudo_inverse
from ..stack import NotFinite, Stack
from .control import Control, Step, StepContext, dot


@dataclass(frozen=True)
class Retraction(Control):
    r"""The step of a deep linear network whose product goes where the first order of the plain step puts it.

    .. math::

        W_L \cdots W_1 \;\to\; T = \Big[\, W + \text{lr} \sum_i A_i u_i B_i \Big]_r

    u_i is the direction of the rule, W the product of the weights, :math:`A_i = W_L \cdots W_{i+1}` and
    :math:`B_i = W_{i-1} \cdots W_1`. The plain step adds terms of second and higher order in lr, which this one
    leaves out. :math:`[\cdot]_r` is the nearest matrix, by the Frobenius norm, of the rank r of the narrowest
    layer. So lr = 1 with undamped, exact factors solves linear regression in one step where no hidden layer is
    narrower than input or output and the weights are far from singular, and in a handful elsewhere.

    Of the two ways to T, the one that changes the weights less is taken:

    1. From :math:`W_i + \text{lr}\,u_i`, once through the layers and once back, each in turn takes an equal
       share of what is left, :math:`A_i^+ (T - W) B_i^+ / m` if m layers are still to come. The product is
       linear in each layer, so nothing is iterated. For small steps this is the plain step up to lr².
    2. Where weights are nearly singular, as the product of many square layers is, such changes are huge. Then
       the layers are set anew and balanced: with :math:`T = U S V^\top`,
       :math:`W_i = Q_i S^{1/L} Q_{i-1}^\top`, :math:`Q_0 = V`, :math:`Q_L = U`, and otherwise :math:`Q_i` the
       polar factor of :math:`W_i Q_{i-1}`.

    Any rule will do. Biases are the last columns of weights that act on [x; 1].

    Raises
    ------
    ValueError
        In `step`, if the layers do not form a chain without anything in between, or if only some have biases.

    Examples
    --------
    >>> from ngdnum import NGD, Gaussian, Retraction
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.Linear(9, 6), torch.nn.Linear(6, 4)).double()
    >>> x = torch.randn(50, 4, dtype=torch.float64)
    >>> y, likelihood = x @ torch.randn(4, 4, dtype=torch.float64), Gaussian()
    >>> opt = NGD(model, likelihood, damping=0.0, samples=None, control=Retraction())
    >>> likelihood(model(x), y).backward()
    >>> _ = opt.step()
    >>> bool(likelihood(model(x), y) < 1e-20)
    True
    """

    def move(
        self, stacks: list[Stack], directions: Vector, velocity: list[Tensor | None], context: StepContext
    ) -> Step:
        """The change of the weights divided by lr.

        Since the loss changes as if by the first order of lr · u, what takes the place of uᵀFu makes
        `predicted` the change that footnote 1 of the paper expects of u.
        """
        chain, bias = _order(stacks, context.chain)
        matrices = _by_layer(stacks, [stack.weight() for stack in stacks])
        u = _by_layer(stacks, directions)
        weights = [matrices[k] for k in chain]
        changed = _moved(weights, [context.lr * u[k] for k in chain], bias)
        v = {k: (new - old) / context.lr for k, new, old in zip(chain, changed, weights)}
        updates = [stack.gather(v) for stack in stacks]
        first, trace = dot(directions, context.gradients), dot(updates, context.gradients)
        return Step(updates, 1.0, first + 2 * (trace - first) / context.lr)


def _by_layer(stacks: list[Stack], vector: Vector) -> dict[int, Tensor]:
    """The matrix of every layer."""
    return {k: matrix for stack, v in zip(stacks, vector) for k, matrix in zip(stack.members, stack.split(v))}


def _order(stacks: list[Stack], chain: list[int] | None) -> tuple[list[int], int]:
    """The layers in the order of the chain, and whether (1) or not (0) they have biases."""
    layers = {k: layer for stack in stacks for k, layer in stack.members.items()}
    if chain is None or layers.keys() != set(chain):
        raise ValueError(
            "Retraction needs a chain of nn.Linear layers without nonlinearities: each fed with the unchanged "
            "output of the one before, the last one's output being the model's, and all of them trained; use "
            "control=FixedStep() or another control"
        )
    kinds = {part is None for layer in layers.values() for part in (layer.bias, layer.module.bias)}
    if len(kinds) > 1:
        raise ValueError("Retraction needs a bias that is trained in every layer, or a bias in none")
    return chain, int(kinds == {False})


def _moved(weights: Vector, steps: Vector, bias: int) -> Vector:
    """Weights, near to `weights` `[n_i, n_{i-1} + bias]`, whose product is T for the changes `steps`."""
    inputs, outputs = _inputs(weights, bias), _outputs(weights, bias)
    T = _product(weights, bias) + sum(A @ step @ B for A, step, B in zip(outputs, steps, inputs))
    if not T.isfinite().all():
        raise NotFinite("the step overflows, so no weight was changed: lower lr or raise the damping")
    n = T.shape[1] - bias
    r = min(n, *(len(W) for W in weights))
    U, S, Vt = torch.linalg.svd(T[:, :n], full_matrices=False)
    U, S, Vt = U[:, :r], S[:r], Vt[:r]
    T = torch.cat([(U * S) @ Vt, T[:, n:]], 1)
    balanced = _balanced(weights, (U, S, Vt), T, bias)
    try:
        shared = there_and_back([W + step for W, step in zip(weights, steps)], T, bias)
    except torch.linalg.LinAlgError:  # overflow
        return balanced
    rounding = torch.finfo(T.dtype).eps ** 0.75
    exact = (T - _product(shared, bias)).abs().amax() <= rounding * T.abs().amax()
    return shared if exact and _distance(shared, weights) <= _distance(balanced, weights) else balanced


def there_and_back(weights: Vector, T: Tensor, bias: int) -> Vector:
    """First way: after the pass there, T and the product agree in the rows that the last layer sees."""
    weights, L = list(weights), len(weights)
    outputs, inputs = _outputs(weights, bias), []
    rest, B = T - _product(weights, bias), _identity(weights[0].mT)
    for i, A in enumerate(outputs):
        inputs.append((B, pseudo_inverse(B)))
        change = pseudo_inverse(A) @ rest @ inputs[i][1] / (L - i)
        weights[i] = weights[i] + change
        rest = rest - A @ change @ B
        B = _through(weights[i], B, bias)
    rest, A = T - _product(weights, bias), _identity(T)
    for i in reversed(range(L)):
        B, inverse = inputs[i]
        change = pseudo_inverse(A) @ rest @ inverse / (i + 1)
        weights[i] = weights[i] + change
        rest = rest - A @ change @ B
        A = A @ weights[i][:, : weights[i].shape[1] - bias]
    return weights


def _balanced(weights: Vector, svd: tuple[Tensor, Tensor, Tensor], T: Tensor, bias: int) -> Vector:
    """Second way; what the biases lack is added to the last one."""
    U, S, Vt = svd
    basis, changed = Vt.mT, []
    for i, W in enumerate(weights):
        matrix, constant = W.split([W.shape[1] - bias, bias], 1)
        before, basis = basis, U
        if i < len(weights) - 1:
            left, _, right = torch.linalg.svd(matrix @ before, full_matrices=False)
            basis = left @ right
        changed.append(torch.cat([basis * S ** (1 / len(weights)) @ before.mT, constant], 1))
    if bias:
        changed[-1][:, -1] += (T - _product(changed, bias))[:, -1]
    return changed


def _inputs(weights: Vector, bias: int) -> Vector:
    """B_i `[n_{i-1} + bias, n_0 + bias]`: what the input of layer i is made of, and for bias its constant 1."""
    maps = [_identity(weights[0].mT)]
    for W in weights[:-1]:
        maps.append(_through(W, maps[-1], bias))
    return maps


def _outputs(weights: Vector, bias: int) -> Vector:
    """A_i `[n_L, n_i]`: what the output of layer i does to that of the model."""
    maps = [_identity(weights[-1])]
    for W in weights[:0:-1]:
        maps.append(maps[-1] @ W[:, : W.shape[1] - bias])
    return maps[::-1]


def _product(weights: Vector, bias: int) -> Tensor:
    """W_L ⋯ W_1 `[n_L, n_0 + bias]`."""
    return weights[-1] @ _inputs(weights, bias)[-1]


def _through(W: Tensor, B: Tensor, bias: int) -> Tensor:
    """What W makes of B, with the row of the constant 1 kept."""
    return torch.cat([W @ B, B[len(B) - bias :]])


def _identity(W: Tensor) -> Tensor:
    """Of as many rows as W has."""
    return torch.eye(len(W), dtype=W.dtype, device=W.device)


def _distance(first: Vector, second: Vector) -> Tensor:
    """Σ_i ‖W_i − V_i‖²."""
    return torch.stack([(W - V).square().sum() for W, V in zip(first, second)]).sum()

"""A weight that reaches the output other than by calls of its layer: refused, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from ngdnum import NGD, Categorical, Gaussian, kronecker_factors

torch.set_num_threads(1)


class Tied(nn.Module):
    """An autoencoder whose decoder has the weight of the encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = nn.Linear(4, 3), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.linear(self.encoder(x).tanh(), self.encoder.weight.t()))


class Product(Tied):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.encoder(x).tanh() @ self.encoder.weight)


class Embedding(Tied):
    """The rows of the head are the embeddings of the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.head.weight[(x[:, 0] > 0).long()])


class OwnBias(Tied):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(x).tanh() + self.encoder(x).sum(-1, keepdim=True) * self.head.bias


class Penalised(Tied):
    """The output depends on the weight without any input."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x) + self.head.weight.square().sum()


@pytest.mark.what_if(
    "models", "a weight is also used by function, as in tied embeddings", "ValueError: “used by function, … alone: ”"
)
@pytest.mark.parametrize("preset", [NGD.paper, NGD.fast, NGD.sample_efficient])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(Tied, "encoder"), (Product, "encoder"), (Embedding, "head"), (OwnBias, "head"), (Penalised, "head")],
)
def test_a_weight_used_by_function_too_is_refused_by_name(kind: type, name: str, preset: Callable[..., NGD]) -> None:
    model = kind().double()
    opt = preset(model, Gaussian())
    x, before = torch.randn(9, 4).double(), [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=rf"used by function, .* alone: {name}; .*forward of its own"):
        Gaussian()(model(x), x).backward()
    assert all(map(torch.equal, before, model.parameters())) and opt.steps == 0
    with pytest.raises(ValueError, match=rf"used by function, .* alone: {name};"):
        kronecker_factors(model, Gaussian(), x)


def test_under_autocast_where_the_uses_share_one_copy_of_the_weight() -> None:
    model = Tied()
    opt = NGD.fast(model, Gaussian())
    x = torch.randn(9, 4)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x)
    with pytest.raises(ValueError, match="alone: encoder;"):
        Gaussian()(output.float(), x).backward()
    assert opt.steps == 0


class Curvature(nn.Module):
    """∂²u/∂x² of a network u: the residual of a physics-informed network."""

    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        derivative = self.u(x)
        for _ in range(2):
            (derivative,) = torch.autograd.grad(derivative.sum(), x, create_graph=True)
        return derivative


@pytest.mark.what_if(
    "models",
    "the output is a derivative of the network",
    "ValueError: “in derivatives of the network… alone: u.0, u.2;”",
)
@pytest.mark.parametrize("preset", [NGD.paper, NGD.fast, NGD.sample_efficient])
def test_outputs_made_of_derivatives_are_refused(preset: Callable[..., NGD]) -> None:
    x = torch.linspace(-1, 1, 40).double().unsqueeze(1)
    model = Curvature().double()
    opt = preset(model, Gaussian())
    with pytest.raises(ValueError, match="in derivatives of the network.* alone: u.0, u.2;"):
        Gaussian()(model(x), -x.sin()).backward()
    assert opt.steps == 0


class Everything(nn.Module):
    """Ways to call layers: several times, on positions, without a bias or a gradient at the input, in a checkpoint."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6, bias=False), nn.Linear(6, 6), nn.Linear(12, 3)
        self.conv, self.free = nn.Conv1d(1, 2, 3, padding="same", bias=False), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        self.free(self.a(x).detach())
        h = self.b(self.b(self.a(self.conv(x.unsqueeze(1)).tanh())))
        h = checkpoint(lambda h: self.b(h).tanh(), h, use_reentrant=False)
        h = h + self.a(x).relu_().unsqueeze(1)
        h = h + self.b(h.transpose(0, 1)).transpose(0, 1)
        return self.c(h.flatten(1))


@pytest.mark.parametrize("preset", [NGD.paper, NGD.fast])
@pytest.mark.parametrize("lowered", [False, True], ids=["float32", "autocast"])
def test_calls_of_the_modules_alone_are_let_through(preset: Callable[..., NGD], lowered: bool) -> None:
    model = Everything()
    opt = preset(model, Categorical())
    x, before = torch.randn(9, 4), [p.clone() for p in model.parameters()]
    with torch.autocast("cpu", torch.bfloat16, enabled=lowered):
        output = model(x)
    Categorical()(output.float(), torch.randint(0, 3, (9,))).backward()
    opt.step()
    free = set(model.free.parameters())
    assert [not torch.equal(w, p) for w, p in zip(before, model.parameters())] == [
        p not in free for p in model.parameters()
    ]


def test_a_class_with_a_forward_of_its_own_leaves_the_weight_to_the_fallback() -> None:
    """What the message advises, against a step of plain SGD on this weight."""

    class Own(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight, self.bias)

    model = Tied().double()
    model.encoder = Own(4, 3).double()
    opt = NGD.fast(model, Gaussian(), fallback=lambda p: torch.optim.SGD(p, lr=0.1))
    x, before = torch.randn(9, 4).double(), model.encoder.weight.detach().clone()
    Gaussian()(model(x), x).backward()
    opt.step()
    torch.testing.assert_close(model.encoder.weight.detach(), before - 0.1 * model.encoder.weight.grad)

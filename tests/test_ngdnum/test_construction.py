"""What cannot be trained, or makes no sense, is refused where the optimizer is built, with the reason."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn

from ngdnum import (
    NGD,
    Decay,
    Factors,
    Gaussian,
    Inverse,
    LevenbergMarquardt,
    OutputNormalised,
)
from support.networks import TwoMethods, network

torch.set_num_threads(1)


def shared() -> nn.Module:
    model = network([4, 4, 4, 3])
    model[2].weight = model[0].weight
    return model


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))


def bias_only() -> nn.Module:
    model = network([4, 5, 3])
    model[0].weight.requires_grad_(False)
    return model


@pytest.mark.what_if(
    "models", "a model has no linear layer, or all of them are frozen", "ValueError: “no trainable nn.Linear”"
)
@pytest.mark.what_if(
    "models",
    "a model has parameters outside of linear layers, and no `fallback` is given",
    "ValueError that names them: “1.weight, 1.bias; freeze … fallback=lambda p: ”",
)
@pytest.mark.what_if("models", "only the weight of a layer is frozen, not its bias", "ValueError: “0.bias; freeze”")
@pytest.mark.what_if("models", "two layers share a weight", "ValueError: “0.weight = 2.weight, 0.bias, 2.bias; freeze”")
@pytest.mark.what_if(
    "models", "`NGD` is given parameters, as other optimizers are", "TypeError that asks for an “nn.Module”"
)
@pytest.mark.what_if(
    "models",
    "the likelihood is a loss of torch, a name, or a class",
    "TypeError: “unknown likelihood 'gaussian': use Gaussian”",
)
@pytest.mark.what_if(
    "models", "exact factors are asked of a likelihood that can only sample", "ValueError that asks for “fisher_root”"
)
@pytest.mark.what_if("models", "a rule is misspelt", "ValueError: “choose from …kronecker”")
@pytest.mark.what_if(
    "models",
    "a rule of your own asks for a letter that there is not",
    "ValueError: “unknown Sigma…Lambda_tilde, Lambda, lam, L”",
)
@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: NGD(nn.Tanh(), Gaussian()), ValueError, "no trainable nn.Linear"),
        (lambda: NGD(network([4, 3]).requires_grad_(False), Gaussian()), ValueError, "no trainable nn.Linear"),
        (lambda: NGD(normed(), Gaussian()), ValueError, "1.weight, 1.bias; freeze .* fallback=lambda p: "),
        (lambda: NGD(bias_only(), Gaussian()), ValueError, "0.bias; freeze"),
        (lambda: NGD(shared(), Gaussian()), ValueError, "0.weight = 2.weight, 0.bias, 2.bias; freeze"),
        (lambda: NGD(list(network([4, 3]).parameters()), Gaussian()), TypeError, "nn.Module"),
        (lambda: NGD(network([4, 3]), "gaussian"), TypeError, "unknown likelihood 'gaussian': use Gaussian"),
        (lambda: NGD(network([4, 3]), nn.MSELoss()), TypeError, "unknown likelihood"),
        (lambda: NGD(network([4, 3]), Gaussian), TypeError, "unknown likelihood"),
        (lambda: NGD(network([4, 3]), TwoMethods(), samples=None), ValueError, "fisher_root"),
        (lambda: NGD(network([4, 3]), Gaussian(), samples=0), ValueError, "samples"),
        (lambda: NGD(network([4, 3]), Gaussian(), samples=1.0), ValueError, "samples"),
        (lambda: NGD(network([4, 3]), Gaussian(), lr=0.0), ValueError, "lr"),
        (lambda: NGD(network([4, 3]), Gaussian(), lr=float("nan")), ValueError, "lr"),
        (lambda: NGD(network([4, 3]), Gaussian(), damping=-1.0), ValueError, "damping"),
        (lambda: NGD(network([4, 3]), Gaussian(), damping="big"), ValueError, "damping"),
        (lambda: LevenbergMarquardt(0.1, floor=float("inf")), ValueError, "damping"),
        (lambda: NGD(network([4, 3]), Gaussian(), rule="kronecer"), ValueError, "choose from .*kronecker"),
        (lambda: NGD(network([4, 3]), Gaussian(), rule=3), TypeError, "a rule is"),
        (lambda: NGD(network([4, 3]), Gaussian(), rule=types.ModuleType("m")), ValueError, "must define"),
        (
            lambda: NGD(network([4, 3]), Gaussian(), rule="def factorise(Sigma): ...\ndef apply(G, state): ..."),
            ValueError,
            "unknown Sigma.*Lambda_tilde, Lambda, lam, L",
        ),
    ],
)
def test_construction_is_refused_with_the_reason(build: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


@pytest.mark.what_if(
    "models",
    "`NGD` is refused while it is built",
    "the model has no hooks afterwards, and can be used with other options",
)
def test_a_refused_construction_leaves_no_hooks() -> None:
    model = network([4, 3])
    for options in ({"rule": "nonsense"}, {"damping": -1.0}, {"samples": 0}):
        with pytest.raises(ValueError):
            NGD(model, Gaussian(), **options)
    assert not model._forward_hooks and not model[0]._forward_hooks


def test_rules_without_an_undamped_form_refuse_zero_damping() -> None:
    source = "def factorise(Lambda, lam):\n    return (Lambda,)\ndef apply(G, state):\n    return G\n"
    with pytest.raises(ValueError, match="no undamped form"):
        NGD(network([4, 3]), Gaussian(), rule=source, damping=0.0)


def test_parameter_groups_cannot_be_added() -> None:
    opt = NGD(network([4, 5, 3]), Gaussian())
    with pytest.raises(ValueError, match="build a new NGD"):
        opt.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})


@pytest.mark.what_if(
    "models",
    "factors are to be measured every 0 steps",
    "ValueError: “every must be a positive number of steps; got 0”",
)
@pytest.mark.what_if("models", "a control is given as text", "TypeError: “control must be FixedStep”")
@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Factors(every=0), ValueError, "every must be a positive number of steps; got 0"),
        (lambda: Inverse(every=1.5), ValueError, "every must be"),
        (lambda: Factors(decay=1.0), ValueError, "decay must be"),
        (lambda: OutputNormalised(momentum=1.0), ValueError, "momentum must be"),
        (lambda: OutputNormalised(rows=0), ValueError, "rows must be"),
        (lambda: OutputNormalised(second_order_bound=0.0), ValueError, "second_order_bound must be"),
        (lambda: OutputNormalised(second_order_bound=float("nan")), ValueError, "second_order_bound must be"),
        (lambda: Decay(0.1, steps=0.0), ValueError, "steps must be"),
        (lambda: Decay(-0.1, steps=1.0), ValueError, "damping must be"),
        (lambda: NGD(network([4, 3]), Gaussian(), factors=8), TypeError, "factors must be a Factors"),
        (lambda: NGD(network([4, 3]), Gaussian(), inverse=8), TypeError, "inverse must be an Inverse"),
        (lambda: NGD(network([4, 3]), Gaussian(), control="plain"), TypeError, "control must be FixedStep"),
        (lambda: NGD.fast(network([4, 3]), Gaussian(), speed=2), TypeError, "speed"),
    ],
)
def test_parts_are_refused_with_the_reason(build: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build()


@pytest.mark.what_if("models", "layers are quantised", "ValueError: “quantised weights cannot be trained: 0”")
@pytest.mark.filterwarnings("ignore")
def test_quantised_layers_are_named() -> None:
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), {nn.Linear})
    with pytest.raises(ValueError, match="no trainable .* layer .* quantised weights cannot be trained: 0"):
        NGD(model, Gaussian())

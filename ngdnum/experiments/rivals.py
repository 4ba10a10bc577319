"""Who takes part in the benchmark: one line for each method, with the grid of settings it may be tuned over.

All grids of a task are equally large.  A constant rate or one that falls linearly to zero is a choice of all.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import NGD, Inverse
from ..results import Settings
from .method import Build, Method, adamw, method, muon, muon_express, natural, nesterov, paper, sgd
from .packages import lbfgs, packaged
from .search import SCHEDULES

LINEAR: tuple[Method, ...] = (
    method("SGD", sgd, (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08), (20,), schedule=SCHEDULES),
    method("SGD+momentum", nesterov, (0.001, 0.002, 0.004, 0.008, 0.016, 0.032), (20,), schedule=SCHEDULES),
    method("AdamW", adamw, (1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 4e-2), (20,), schedule=SCHEDULES),
    method("Muon.torch", muon, (0.0025, 0.005, 0.01, 0.02, 0.04, 0.08), (20,), schedule=SCHEDULES),
    method(
        "NGD.paper",
        paper,
        (1.0,),
        (200,),
        True,
        damping=(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2),
        schedule=SCHEDULES,
    ),
    method("NGD.fast", natural(NGD.fast), (0.2, 0.5, 1.2), (50, 100), schedule=SCHEDULES),
    method("NGD.sample_efficient", natural(NGD.sample_efficient), (0.5, 1.0), (12, 25, 50), True, schedule=SCHEDULES),
)

BOTTLENECK: tuple[Method, ...] = (
    *LINEAR,
    method(
        "NGD.exact",
        natural(NGD.paper, rule="exact", damping=0.0),
        (0.2, 0.4, 0.8),
        (250, 500),
        True,
        schedule=SCHEDULES,
    ),
)

IMAGES: tuple[Method, ...] = (
    method("SGD", sgd, (0.0025, 0.005, 0.01, 0.02), (10, 20), schedule=SCHEDULES),
    method("SGD+momentum", nesterov, (0.0005, 0.001, 0.002, 0.004), (20, 50), schedule=SCHEDULES),
    method("AdamW", adamw, (2.5e-4, 5e-4, 1e-3, 2e-3), (50, 100), schedule=SCHEDULES),
    method("Muon.torch", muon, (0.01, 0.02, 0.04, 0.08), (200, 400), schedule=SCHEDULES),
    method("NGD.paper", paper, (1.0,), (250, 500), True, damping=(1e-2, 1e-1, 1.0, 10.0), schedule=SCHEDULES),
    method("NGD.fast", natural(NGD.fast), (0.6, 0.9), (100, 200, 400, 800), schedule=SCHEDULES),
    method(
        "NGD.sample_efficient",
        natural(NGD.sample_efficient, inverse=Inverse(every=2)),
        (0.7, 1.0),
        (50, 100, 200, 400),
        True,
        schedule=SCHEDULES,
    ),
)

FALLING = ("linear",)  # all rates of the tasks beyond the autoencoder
SOAP = packaged("pytorch_optimizer", "SOAP", weight_decay=0.0)
Rates = tuple[float, ...]
LARGE: Rates = (0.01, 0.03, 0.1, 0.3, 1.0)
MEDIUM: Rates = (1e-3, 3e-3, 1e-2, 3e-2, 0.1)
SMALL: Rates = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
AUXILIARY = (1e-3, 1e-2)  # of AdamW for what is no weight of a layer


def _crossed(
    name: str,
    build: Build,
    rates: Sequence[float],
    knob: str,
    low: float,
    high: float,
    batch_size: tuple[int, int] = (32, 128),
    reevaluates: bool = False,
    **fixed: float,
) -> Method:
    """Each of `rates` with both batch sizes, and the values `low` and `high` of `knob` crosswise from rate to rate.

    So a second knob takes no more trials than the others have for one.
    """
    grid: list[Settings] = []
    for i, lr in enumerate(rates):
        values = (high, low) if i % 2 else (low, high)
        for size, value in zip(batch_size, values):
            grid.append({"lr": lr, "batch_size": size, knob: value, **fixed, "schedule": "linear"})
    return Method(name, build, tuple(grid), reevaluates)


def _rivals(
    nesterov_rates: Rates,
    adamw_rates: Rates,
    muon_rates: Rates,
    soap_rates: Rates,
    muon_sizes: tuple[int, int] = (64, 128),
    auxiliary: tuple[float, float] = AUXILIARY,
) -> tuple[Method, ...]:
    return (
        method("SGD+momentum", nesterov, nesterov_rates, (32, 128), schedule=FALLING),
        method("AdamW", adamw, adamw_rates, (32, 128), schedule=FALLING),
        _crossed("Muon.express", muon_express, muon_rates, "auxiliary", *auxiliary, muon_sizes, steps=3),
        _crossed("SOAP", SOAP, soap_rates, "precondition_frequency", 10, 40),
    )


def _natural(fast_sizes: tuple[int, int] = (64, 256), auxiliary: tuple[float, float] = AUXILIARY) -> tuple[Method, ...]:
    return (
        _crossed("NGD.fast", natural(NGD.fast), (0.1, 0.2, 0.4, 0.8, 1.6), "auxiliary", *auxiliary, fast_sizes),
        _crossed(
            "NGD.sample_efficient",
            natural(NGD.sample_efficient),
            (0.3, 0.5, 0.8, 1.2, 1.8),
            "auxiliary",
            *auxiliary,
            reevaluates=True,
        ),
    )


NATURAL: tuple[Method, ...] = _natural()

STRONG: tuple[Method, ...] = (*_rivals(LARGE, MEDIUM, LARGE, MEDIUM), *NATURAL)

# an example of 32 positions is worth several of others; embeddings bear larger rates than biases and norms
SEQUENCES: tuple[Method, ...] = (
    *_rivals(LARGE, MEDIUM, LARGE, MEDIUM, (32, 128), (3e-3, 3e-2)),
    *_natural((32, 128), (3e-3, 3e-2)),
)

# where nothing shrinks in twenty layers, the rates of the others are smaller
DEEP: tuple[Method, ...] = (*_rivals(MEDIUM, SMALL, (3e-3, *LARGE[:-1]), SMALL), *NATURAL)

OTHERS: tuple[Method, ...] = (  # older or slower in a few seconds, beside one of ours
    NATURAL[0],
    method("SGD", sgd, (0.03, 0.1, 0.3, 1.0, 3.0), (32, 128), schedule=FALLING),
    method("RMSProp", packaged("torch.optim", "RMSprop"), SMALL, (32, 128), schedule=FALLING),
    method("AdaGrad", packaged("torch.optim", "Adagrad"), MEDIUM, (32, 128), schedule=FALLING),
    method("AdaDelta", packaged("torch.optim", "Adadelta"), (0.1, 0.3, 1.0, 3.0, 10.0), (32, 128), schedule=FALLING),
    method(
        "Shampoo",
        packaged(
            "pytorch_optimizer", "ScalableShampoo", start_preconditioning_step=5, preconditioning_compute_steps=20
        ),
        (3e-3, *LARGE[:-1]),
        (32, 128),
        schedule=FALLING,
    ),
    method("KL-Shampoo", packaged("heavyball", "KLShampoo"), MEDIUM, (32, 128), schedule=FALLING),
    method("SPlus", packaged("pytorch_optimizer", "SPlus"), LARGE, (32, 128), schedule=FALLING),
    method("PSGD-Kron", packaged("pytorch_optimizer", "Kron"), (3e-4, *MEDIUM[:-1]), (32, 128), schedule=FALLING),
)

FULL_BATCH: tuple[Method, ...] = (
    method(
        "L-BFGS", lbfgs, (0.5, 1.0), (2_000,), True, history=(3, 10, 30, 100, 300), iterations=(10,), schedule=FALLING
    ),
)

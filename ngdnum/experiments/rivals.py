"""Who takes part in the benchmark: one line for each method, with the grid of settings it may be tuned over.

All grids of a task are equally large.  A constant rate or one that falls linearly to zero is a choice of all.
"""

from __future__ import annotations

from .. import NGD, Inverse
from .method import Method, adamw, method, muon, muon_express, natural, nesterov, paper, sgd
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

NATURAL: tuple[Method, ...] = (
    method("NGD.fast", natural(NGD.fast), (0.2, 0.5, 1.2), (64, 256), schedule=FALLING),
    method("NGD.sample_efficient", natural(NGD.sample_efficient), (0.5, 1.0), (32, 64, 128), True, schedule=FALLING),
)
SOAP = packaged("pytorch_optimizer", "SOAP", weight_decay=0.0)

STRONG: tuple[Method, ...] = (
    method("SGD+momentum", nesterov, (0.03, 0.1, 0.3), (32, 128), schedule=FALLING),
    method("AdamW", adamw, (3e-3, 1e-2, 3e-2), (32, 128), schedule=FALLING),
    method("Muon.express", muon_express, (0.03, 0.1, 0.3), (64,), auxiliary=(1e-3, 1e-2), steps=(3,), schedule=FALLING),
    method("SOAP", SOAP, (3e-3, 1e-2, 3e-2), (32, 128), schedule=FALLING),
    *NATURAL,
)

DEEP: tuple[Method, ...] = (  # where nothing shrinks in twenty layers, the rates of the others are smaller
    method("SGD+momentum", nesterov, (3e-3, 1e-2, 3e-2), (32, 128), schedule=FALLING),
    method("AdamW", adamw, (3e-4, 1e-3, 3e-3), (32, 128), schedule=FALLING),
    method(
        "Muon.express", muon_express, (3e-3, 1e-2, 3e-2), (64,), auxiliary=(1e-3, 1e-2), steps=(3,), schedule=FALLING
    ),
    method("SOAP", SOAP, (3e-4, 1e-3, 3e-3), (32, 128), schedule=FALLING),
    *NATURAL,
)

OTHERS: tuple[Method, ...] = (  # older or slower in a few seconds, beside one of ours
    NATURAL[0],
    method("SGD", sgd, (0.1, 0.3, 1.0), (32, 128), schedule=FALLING),
    method("RMSProp", packaged("torch.optim", "RMSprop"), (3e-4, 1e-3, 3e-3), (32, 128), schedule=FALLING),
    method("AdaGrad", packaged("torch.optim", "Adagrad"), (3e-3, 1e-2, 3e-2), (32, 128), schedule=FALLING),
    method("AdaDelta", packaged("torch.optim", "Adadelta"), (0.3, 1.0, 3.0), (32, 128), schedule=FALLING),
    method(
        "Shampoo",
        packaged(
            "pytorch_optimizer", "ScalableShampoo", start_preconditioning_step=5, preconditioning_compute_steps=20
        ),
        (1e-2, 3e-2, 0.1),
        (32, 128),
        schedule=FALLING,
    ),
    method("KL-Shampoo", packaged("heavyball", "KLShampoo"), (3e-3, 1e-2, 3e-2), (32, 128), schedule=FALLING),
    method("SPlus", packaged("pytorch_optimizer", "SPlus"), (0.03, 0.1, 0.3), (32, 128), schedule=FALLING),
    method("PSGD-Kron", packaged("pytorch_optimizer", "Kron"), (1e-3, 3e-3, 1e-2), (32, 128), schedule=FALLING),
)

FULL_BATCH: tuple[Method, ...] = (
    method("L-BFGS", lbfgs, (0.3, 1.0), (2_000,), True, history=(10, 100, 300), iterations=(10,), schedule=FALLING),
)

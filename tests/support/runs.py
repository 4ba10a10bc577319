"""What a run found, without its times; methods that cost little."""

from __future__ import annotations

from ngdnum import NGD
from ngdnum.experiments.method import method, natural, sgd
from ngdnum.experiments.search import SCHEDULES
from ngdnum.results import Result


def curves(result: Result) -> list:
    return [(c.method, c.settings, c.samples, c.test_error, c.diverged, c.tuning) for c in result.curves]


METHODS = (
    method("SGD", sgd, (0.02, 0.1), (20,), schedule=SCHEDULES),
    method("NGD.paper", natural(NGD.paper), (1.0,), (100,), True, damping=(1e-2, 1e-1), schedule=SCHEDULES),
)

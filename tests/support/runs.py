"""What a run found, without its times; methods and an experiment that cost little."""

from __future__ import annotations

from ngdnum import NGD
from ngdnum.data import Problem, linear_teacher
from ngdnum.experiments.method import method, natural, sgd
from ngdnum.experiments.search import SCHEDULES
from ngdnum.experiments.task import Experiment
from ngdnum.experiments.training import Budget
from ngdnum.results import Result


def curves(result: Result) -> list:
    return [(c.method, c.settings, c.samples, c.test_error, c.diverged, c.tuning) for c in result.curves]


METHODS = (
    method("SGD", sgd, (0.02, 0.1), (20,), schedule=SCHEDULES),
    method("NGD.paper", natural(NGD.paper), (1.0,), (100,), True, damping=(1e-2, 1e-1), schedule=SCHEDULES),
)


def small_problem(seed: int, data: object) -> Problem:
    return linear_teacher((4, 6, 3), seed, train=500, validation=100, test=100)


SMALL_FIG1A = Experiment("fig1a", "Small", small_problem, METHODS, points=20, budget=Budget(samples=600))

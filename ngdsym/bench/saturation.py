"""The same statements for egglog, an engine for equality saturation. It reads equations between two words; sums,
identities and vanishing products are outside what is asked of it here. Install it with `pip install egglog`."""

from __future__ import annotations

from importlib.util import find_spec
from time import process_time

from ngdsym.bench.letterplace import Unavailable
from ngdsym.proof.problem import Problem
from ngdsym.proof.words import Equation, Polynomial

ROUNDS, GROWTH = 12, 20
"""Most rounds, and how many times as long as all before the next round can take: it cannot be interrupted."""


def seconds(problem: Problem, timeout: float) -> float | None:
    """Processor seconds until the claims hold in the e-graph; None if it is not made of words, or none is found.

    Raises
    ------
    Unavailable
        If egglog is not installed.
    """
    if find_spec("egglog") is None:
        raise Unavailable("egglog (PyPI) is not installed")
    equations = [e for e in problem.assumptions if e.left.terms != e.right.terms]
    if not all(map(_is_between_words, [*equations, *problem.claims])):
        return None
    from egglog.bindings import EggSmolError, EGraph

    graph = EGraph()
    sides = [
        (_spell(a), _spell(b))
        for e in equations
        for p, q in ((e.left, e.right), (e.left.T, e.right.T))
        for a, b in ((p, q), (q, p))
    ]
    rewrites = [f"(rewrite {a} {b})" for a, b in dict.fromkeys(sides) if a != b]
    header = [
        "(datatype W (L i64) (M W W))",
        "(rewrite (M (M x y) z) (M x (M y z)))",
        "(rewrite (M x (M y z)) (M (M x y) z))",
    ]
    goals = [(_spell(e.left), _spell(e.right)) for e in problem.claims]
    started = process_time()
    graph.run_program(*graph.parse_program("\n".join([*header, *rewrites, *(x for goal in goals for x in goal)])))
    check = graph.parse_program("\n".join(f"(check (= {a} {b}))" for a, b in goals))
    step = graph.parse_program("(run 1)")
    for _ in range(ROUNDS):
        graph.run_program(*step)
        try:
            graph.run_program(*check)
        except EggSmolError:
            if GROWTH * (process_time() - started) > timeout:
                return None
        else:
            return process_time() - started
    return None


def _is_between_words(equation: Equation) -> bool:
    return all(list(side.terms.values()) == [1] and "" not in side.terms for side in (equation.left, equation.right))


def _spell(side: Polynomial) -> str:
    *first, last = (f"(L {ord(code)})" for code in next(iter(side.terms)))
    return "".join(f"(M {letter} " for letter in first) + last + ")" * len(first)

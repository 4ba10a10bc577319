"""The same statements for Singular's Letterplace, a Gröbner engine for free algebras (untyped, without proofs).

Letterplace needs a bound for the length of words. The smallest bound that suffices is looked for, and only the
run with it is timed, start of the program included. Install it with `apt install singular-ui`."""

from __future__ import annotations

import math
import shutil
import subprocess
from functools import partial

from ngdsym.proof.problem import Problem
from ngdsym.proof.words import Polynomial

PROGRAM = "Singular"
STEPS = range(0, 13, 2)
"""Tried on top of the longest word of the statement."""


class Unavailable(Exception):
    """A peer is not installed."""


def seconds(problem: Problem, timeout: float) -> float | None:
    """Processor seconds of a successful run; None where no bound that was tried suffices within `timeout`.

    Raises
    ------
    Unavailable
        If Singular is not on the path.
    """
    if shutil.which(PROGRAM) is None:
        raise Unavailable("Singular (Debian package singular-ui) is not installed")
    from resource import RLIMIT_CPU, setrlimit  # Unix only, as is `resource`

    longest = max(len(word) for p in _polynomials(problem) for word in p.terms)
    begun = _used_by_children()
    for step in STEPS:
        started = _used_by_children()
        left = math.ceil(timeout - (started - begun))
        if left <= 0:
            return None
        done = subprocess.run(
            [PROGRAM, "-q", "--no-warn"],
            input=program(problem, longest + step),
            text=True,
            check=False,
            capture_output=True,
            preexec_fn=partial(setrlimit, RLIMIT_CPU, (left, left)),
        )
        if done.stdout.split() == ["0"] * len(problem.claims):
            return _used_by_children() - started
    return None


def _used_by_children() -> float:
    """Processor seconds of all programs that have ended."""
    from resource import RUSAGE_CHILDREN, getrusage

    used = getrusage(RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def program(problem: Problem, bound: int) -> str:
    """Reduce the claims by the completion of the assumptions up to words of length `bound`."""
    letters = problem.letters
    names = [f"x({k})" for k in range(1, len(letters.names) + 1)]
    ideal = ", ".join(_spell(p) for e in problem.assumptions for p in (e.difference, e.difference.T) if p.terms)
    claims = "\n".join(f"print(reduce({_spell(e.difference)}, J));" for e in problem.claims)
    return (
        f'LIB "freegb.lib";\nring r = 0, ({", ".join(reversed(names))}), dp;\ndef R = freeAlgebra(r, {bound});\n'
        f"setring R;\nideal I = {ideal or '0'};\nideal J = twostd(I);\n{claims}\n"
    )


def _polynomials(problem: Problem) -> list[Polynomial]:
    return [e.difference for e in (*problem.assumptions, *problem.claims)]


def _spell(p: Polynomial) -> str:
    number = {name: k for k, name in enumerate(p.letters.names, 1)}
    return (
        " + ".join(f"({c})" + "".join(f"*x({number[x]})" for x in p.letters.spell(word)) for word, c in p.terms.items())
        or "0"
    )

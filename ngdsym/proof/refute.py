"""`refute`: small exact rational matrices that keep the assumptions and break the claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from time import process_time

from ngdsym.proof.counterexample import Counterexample
from ngdsym.proof.instances import instances
from ngdsym.proof.problem import Statement, read


class CounterexampleNotFound(Exception):
    """No matrices that keep the assumptions and break the claim turned up. This is no proof of the claim."""


def refute(
    assumptions: Statement | Sequence[Statement],
    claim: Statement | Sequence[Statement],
    *,
    types: Mapping[str, Iterable[object]] | None = None,
    symmetric: Iterable[str] = (),
    inverses: Mapping[str, str] | None = None,
    pinvs: Mapping[str, str] | None = None,
    positive: Mapping[str, str] | None = None,
    seed: int = 0,
    attempts: int = 300,
    timeout: float | None = None,
) -> Counterexample:
    """Find exact matrices that satisfy `assumptions` and violate `claim`; arguments as for `prove`.

    A list of claims is broken when one of them is. Sizes grow from 1 to 3; dimensions that are numbers stay.
    The same seed gives the same matrices. `timeout` ends the attempts after so many seconds of processor time.

    Raises
    ------
    CounterexampleNotFound
        None in `attempts` attempts, or in `timeout` seconds.

    Examples
    --------
    >>> found = refute("A X = 1", "X A = 1", types={"A": ("m", "n"), "X": ("n", "m")})
    >>> found.check()
    True
    >>> print(found)
    A = [1, 0]
    X = [1]
        [0]
    broken: X A - 1 = 0, the left side is
    [ 0,  0]
    [ 0, -1]
    """
    problem = read(
        assumptions, claim, types=types, symmetric=symmetric, inverses=inverses, pinvs=pinvs, positive=positive
    )
    deadline = process_time() + (inf if timeout is None else timeout)
    for found in instances(problem, seed, attempts, deadline):
        if not found.keeps_claims():
            return found
    tried = f"{attempts} attempts" + ("" if timeout is None else f" or {timeout:g} s")
    raise CounterexampleNotFound(
        f"no counterexample in {tried} with matrices up to 3×3; this "
        "proves nothing: try prove, another seed or more attempts"
    )

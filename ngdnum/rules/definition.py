"""What a learning rule is to an optimizer: its functions, and what is known of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor

SOLVERS = "cholesky", "inverse", "low_rank"
"""How damped inverses are applied: by triangular solves, as explicit inverses, or by their leading eigenpairs."""
RETIRED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "pi_damped_cached": ("pi_damped", "inverse"),
        "pi_damped_leading": ("pi_damped", "low_rank"),
    }
)
"""Names of earlier versions: the rule and the solver that they stand for."""


class Rule(NamedTuple):
    """A learning rule in two binding times.

    Parameters
    ----------
    name : str
        What it is called in messages.
    factorise, apply : callable
        The slow and the fast part: see `ngdnum.rule`.
    undamped : Rule, optional
        The rule that it becomes without damping.
    damping : callable, optional
        c of every factor A + c I, by the name of A.
    halves : (callable, callable), optional
        What `apply` does to the left of G and to its right, if it is a product of both.
    solver : {"cholesky", "inverse", "low_rank"}
        How damped inverses are applied: see `SOLVERS`.
    variants : tuple of Rule
        The same formula for other solvers; damping and the rule without it are as above.
    """

    name: str
    factorise: Callable[..., tuple]
    apply: Callable[..., Any]
    undamped: Rule | None = None
    damping: Callable[..., dict[str, Tensor | float]] | None = None
    halves: tuple[Callable[..., Tensor], Callable[..., Tensor]] | None = None
    solver: str = "cholesky"
    variants: tuple[Rule, ...] = ()

    @property
    def solvers(self) -> tuple[str, ...]:
        """The solvers that there is code for; the first is used if none is named."""
        return (self.solver, *(variant.solver for variant in self.variants))

    def by(self, solver: str | None) -> Rule:
        """The same formula, its damped inverses applied in another way; None changes nothing.

        Raises
        ------
        ValueError
            If there is no code for that.
        """
        if solver in (None, self.solver):
            return self
        for variant in self.variants:
            if solver == variant.solver:
                return variant._replace(undamped=self.undamped, damping=self.damping)
        raise ValueError(f"rule {self.name!r} has no solver {solver!r}: choose from {', '.join(self.solvers)}")

    @property
    def constants(self) -> dict[str, float]:
        """Numbers in the formula that can be changed, and what they are.

        Examples
        --------
        >>> from ngdnum.rules import RULES
        >>> RULES["fisher_shampoo"].constants
        {'beta': 0.8, 'epsilon': 0.3}
        """
        found = inspect.signature(self.factorise).parameters | inspect.signature(self.apply).parameters
        return {name: p.default for name, p in found.items() if p.default is not p.empty}

    def given(self, **constants: float) -> Rule:
        """The rule with other constants, of solvers and without damping too.

        Raises
        ------
        ValueError
            For a constant that the rule does not have, or one that is not between 0 and 1.

        Examples
        --------
        >>> from ngdnum.rules import RULES
        >>> RULES["fisher_shampoo"].given(epsilon=0.1).constants
        {'beta': 0.8, 'epsilon': 0.1}
        """
        known = self.constants
        for name, value in constants.items():
            if name not in known:
                raise ValueError(f"rule {self.name!r} has no constant {name!r}; it has {', '.join(known) or 'none'}")
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
                raise ValueError(f"{name} of rule {self.name!r} must be a number between 0 and 1; got {value!r}")

        def changed(function: Callable) -> Callable:
            taken = inspect.signature(function).parameters
            used = {name: value for name, value in constants.items() if name in taken}
            return partial(function, **used) if used else function

        def change(rule: Rule) -> Rule:
            return rule._replace(
                factorise=changed(rule.factorise),
                apply=changed(rule.apply),
                undamped=rule.undamped and change(rule.undamped),
                damping=rule.damping and changed(rule.damping),
                halves=rule.halves and (changed(rule.halves[0]), changed(rule.halves[1])),
                variants=tuple(map(change, rule.variants)),
            )

        return change(self)

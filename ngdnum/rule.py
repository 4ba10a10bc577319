"""Rules by name, module or source text.

A rule turns the negative gradient G of a layer into its update ΔW (for α = 1), in two plain functions

    state = factorise(...)        # slow: what depends on the factors and the damping only
    ΔW = apply(G, state, ...)     # fast: what depends on the gradient

each of which takes, by name, the quantities it uses out of

    Lambda_tilde  `[..., n, n]`   Λ̃ = ⟨e eᵀ⟩
    Lambda        `[..., m, m]`   Λ = ⟨x xᵀ⟩
    lam                           damping λ
    L                             number of preconditioned layers
    K_tilde       `[..., n, n]`   inverse of Λ̃, damped, that runs along: see `ngdnum.curvature.running`
    K             `[..., m, m]`   inverse of Λ, likewise

and, `factorise` only,

    G_0           `[..., n, m]`   G when it is called
    C             `[..., m, m]`   the last entry of what the last `factorise` returned; at first I

A symmetric matrix C goes from one factorisation to the next only: `apply` gets None in its place.

Layers of equal shape come stacked: leading axes are kept. The rules in `ngdnum.rules.NETWORK_RULES` treat all
layers at once, from lists of these quantities and of the `weights`, in the order of the forward pass.
"""

from __future__ import annotations

import inspect
import linecache
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType
from typing import Any

from torch import Tensor

from .rules import NETWORK_RULES, RETIRED, RULES, Rule

QUANTITIES = ("Lambda_tilde", "Lambda", "lam", "L", "K_tilde", "K")
SLOW_QUANTITIES = (*QUANTITIES, "G_0", "C")
Quantities = dict[str, Any]


class Preconditioner:
    """A rule that is called with all quantities and passes on those its functions ask for.

    Attributes
    ----------
    needs : frozenset of str
        The quantities used by either function.
    slow, fast : tuple of str
        Those used by `factorise`, and by `apply`.
    apply : callable
        The fast part, as the rule has it: of one stack, or of lists of all layers for a network's rule.
    undamped : Preconditioner or None
        The rule for λ = 0 exactly, with Moore–Penrose inverses.
    fast_factors : bool
        Whether `apply` uses more than λ and L.
    network : bool
        Whether the rule treats all layers at once, from lists.
    solver : str
        How it applies damped inverses: see `ngdnum.rules.definition.SOLVERS`.
    cheap : bool
        Whether it factorises by Cholesky's method where it might do so by dearer ones.
    remembers : bool
        Whether each factorisation starts from what the last one has left.
    product : bool
        Whether the rule is a product with G, so that it has `halves`.
    """

    def __init__(self, rule: Rule) -> None:
        self.name, self.network = rule.name, rule in NETWORK_RULES.values()
        self._factorise, self.slow = rule.factorise, _quantities(rule.name, rule.factorise, 0)
        self.apply, self.fast = rule.apply, _quantities(rule.name, rule.apply, 2)
        self.needs = frozenset(self.slow + self.fast)
        self.fast_factors = not set(self.fast) <= {"lam", "L"}
        self.remembers = "C" in self.slow
        self._damping, self.solver = rule.damping or dict, rule.solver
        self.cheap = rule.solver == "cholesky" and bool(rule.variants)
        self._halves = [(half, _quantities(rule.name, half, 2)) for half in rule.halves or ()]
        self._slower = _quantities(rule.name, rule.damping, 0) if rule.damping else ()
        self.undamped = Preconditioner(rule.undamped) if rule.undamped is not None else None

    def at_zero(self) -> Preconditioner:
        """The rule to use at λ = 0; a ValueError if there is none."""
        if self.undamped is None and self.needs & {"lam", "K_tilde", "K"}:
            raise ValueError(f"rule {self.name!r} has no undamped form: use damping > 0")
        return self.undamped or self

    def factorise(self, quantities: Quantities) -> tuple[Tensor, ...]:
        """The slow part."""
        return self._factorise(**{name: quantities[name] for name in self.slow})

    def check_memory(self, parts: tuple, G: Tensor) -> None:
        """Refuse `parts` of which the last cannot be the C of the next factorisation, with G `[..., n, m]`."""
        C, m = parts[-1] if parts else None, G.shape[-1]
        if not isinstance(C, Tensor) or C.shape != (*G.shape[:-2], m, m):
            raise ValueError(
                f"rule {self.name!r} asks for C, so the last entry of what its factorise returns must be the next C, "
                f"of shape {(*G.shape[:-2], m, m)}; it is {tuple(C.shape) if isinstance(C, Tensor) else C!r}"
            )

    @property
    def product(self) -> bool:
        return bool(self._halves)

    def halves(self, state: tuple, quantities: Quantities) -> Iterator[Callable[[Tensor], Tensor]]:
        """What `apply` does to the left of G, and to its right."""
        for half, names in self._halves:
            yield partial(half, state=state, **{name: quantities[name] for name in names})

    def damping(self, quantities: Quantities) -> dict[str, Tensor | float]:
        """c of every factor A that the rule damps, as A + c I, by name; empty if that is not known."""
        return self._damping(**{name: quantities[name] for name in self._slower})


def resolve(rule: str | Rule | ModuleType, solver: str | None = None) -> Preconditioner:
    """Find a rule: a name in `ngdnum.rules.RULES`, a `Rule`, a module, or the source text of one.

    Its damped inverses are applied by `solver`, or, by default, as the rule prefers.

    Raises
    ------
    ValueError
        For an unknown name, a solver that the rule is not written for, or functions that ask for unknown
        quantities.
    TypeError
        For anything else.

    Examples
    --------
    >>> mine = resolve('''
    ... def factorise(Lambda, lam):
    ...     return (Lambda + lam * torch.eye(Lambda.shape[-1]),)
    ... def apply(G, state):
    ...     return torch.linalg.solve(state[0], G, left=False)
    ... ''')
    >>> sorted(mine.needs)
    ['Lambda', 'lam']
    """
    if isinstance(rule, Rule):
        return Preconditioner(rule.by(solver))
    if isinstance(rule, ModuleType):
        return Preconditioner(_from_namespace(rule.__name__, vars(rule)).by(solver))
    if isinstance(rule, str) and "\n" in rule:
        return Preconditioner(_from_namespace("source text", _execute(rule)).by(solver))
    if isinstance(rule, str):
        if rule in RETIRED:
            rule, own = RETIRED[rule]
            warnings.warn(
                f"write rule={rule!r} with Inverse(solver={own!r}): the old name of that will go",
                DeprecationWarning,
                stacklevel=3,
            )
            solver = solver or own
        known = RULES | NETWORK_RULES
        if rule not in known:
            raise ValueError(f"unknown rule {rule!r}: choose from {', '.join(sorted(known))}")
        return Preconditioner(known[rule].by(solver))
    raise TypeError(f"a rule is a name, a Rule, a module or source text, not {type(rule).__name__}")


def _execute(source: str) -> dict:
    """Run `source` as a module of its own, with lines that tracebacks can show."""
    import torch

    name = f"<rule {hash(source):x}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict = {"__name__": name, "torch": torch}
    exec(compile(source, name, "exec"), namespace)
    return namespace


def _from_namespace(name: str, namespace: dict) -> Rule:
    factorise, apply = namespace.get("factorise"), namespace.get("apply")
    if not (callable(factorise) and callable(apply)):
        raise ValueError(f"the rule in {name} must define factorise(...) and apply(G, state, ...)")
    return Rule(name, factorise, apply)


def _quantities(rule: str, function: Callable, positional: int) -> tuple[str, ...]:
    """Names of the quantities `function` takes after its first `positional` arguments; constants aside."""
    arguments = inspect.signature(function).parameters
    names = tuple(name for name, a in arguments.items() if a.default is a.empty or name in SLOW_QUANTITIES)
    known = QUANTITIES if positional else SLOW_QUANTITIES
    unknown = [name for name in names[positional:] if name not in (*known, "weights")]
    if len(names) < positional or unknown:
        what = f"unknown {', '.join(unknown)}" if unknown else f"{len(names)} arguments"
        raise ValueError(
            f"{getattr(function, '__name__', function)} of rule {rule!r} has {what}: after "
            f"{'G and state' if positional else 'nothing else'} it may take {', '.join(known)}"
        )
    return names[positional:]

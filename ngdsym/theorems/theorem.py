"""A statement, its hypotheses, and up to three independent ways of checking it.

The statement is SymPy relations between matrices. Each check takes one relation and says whether it follows:

- `symbolic`: the relation is evaluated at a small explicit size, exactly, free letters being indeterminates;
- `certificate`: a committed proof for matrices of every size is expanded again, without search;
- `numeric`: the relation is evaluated on random float64 matrices with dense linear algebra.

What cannot be checked so is checked by functions of its own, or `missing` says why it cannot. Each theorem
carries `wrong` variants of itself (a sign, a transpose, a factor, an index), which its checks must refuse.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import process_time

from sympy import Basic, Eq, Expr, MatrixSymbol, Ne, false, true
from sympy.assumptions import AppliedPredicate, Q
from sympy.core.relational import Relational

from ngdsym.algebra import fields
from ngdsym.algebra.instance import Draw, Instance, floats
from ngdsym.algebra.tex import aligned, equations
from ngdsym.proof.certificate import Certificate
from ngdsym.proof.counterexample import Counterexample
from ngdsym.proof.problem import Problem
from ngdsym.proof.prover import certify
from ngdsym.proof.refute import refute
from ngdsym.proof.translate import translate
from ngdsym.theorems.stored import read_certificates

CERTIFICATES = Path(__file__).parent / "certificates.jsonl"
CHECKS = ("symbolic", "certificate", "numeric")
DEPTHS = range(1, 17)
COUNTEREXAMPLE = "An inequality is no equation: its exact matrices are the proof (the symbolic check)."


def eq(left: Expr, right: Expr) -> Eq:
    """The equation left = right, kept as it is written: SymPy would compare, sort or drop it."""
    return Eq(left, right, evaluate=False)


@dataclass(frozen=True)
class Outcome:
    """Whether a check passed, how long it took, and what it measured."""

    passed: bool
    seconds: float
    details: dict = field(default_factory=dict)

    def as_dict(self) -> dict:
        """The outcome as it appears in the JSON report."""
        return {"passed": self.passed, **self.details, "seconds": round(self.seconds, 6)}


@dataclass(frozen=True)
class Theorem:
    """One statement of the theory.

    Parameters
    ----------
    name, title : `lower-case-with-hyphens`, and a sentence that a reader of the paper recognises.
    equations : numbers of the paper's equations; "SM 37" is number 37 of its supplement.
    claims : the relations, all to be proved. `Ne(a, b)` states that a ≠ b for the instance of `recipes`.
    wrong : false variants, each to be refused by each check.
    assumes : equations between the letters (and `Q.symmetric(X)`): hypotheses that are equations.
    given : the remaining hypotheses and where the letters come from, in words.
    recipes : mapping, optional
        How to make instances of letters that are not independent: `{R: Pinv(A)}`. Letters defined by an assumption
        `Eq(letter, expression)` need none. The instance witnesses that the hypotheses can hold.
    values : in place of recipes, a function from a source of numbers to values of letters.
    sizes : dimensions of the exact instance (2 when not listed); the numeric one is `scale` times as large.
    points : evaluate exactly at a random rational point instead of with indeterminates.
    symbolic, numeric : checks of its own: claim → bool, claim → largest relative error.
    missing : check → why there is none.
    instances : for a schema, depth L → the statement at that depth; `claims` then are its base and step.
    tolerance : largest relative error that the numeric check accepts.
    """

    name: str
    title: str
    equations: tuple[str, ...]
    claims: tuple[Relational, ...]
    wrong: tuple[Relational, ...]
    assumes: tuple[Basic, ...] = ()
    given: str = ""
    recipes: Mapping[Expr, Expr] = field(default_factory=dict)
    values: Callable[[Draw], Mapping[Expr, object]] | None = None
    sizes: Mapping[Expr, int] = field(default_factory=dict)
    scale: int = 3
    points: bool = False
    symbolic: Callable[[Relational], bool] | None = None
    numeric: Callable[[Relational], float] | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    instances: Callable[[int], tuple[tuple[Basic, ...], tuple[Relational, ...]]] | None = None
    tolerance: float = 1e-9

    def __post_init__(self) -> None:
        unknown = set(self.missing) - set(CHECKS)
        if unknown or set(self.missing) == set(CHECKS):
            raise ValueError(f"{self.name}: `missing` may name some but not all of {', '.join(CHECKS)}")
        for claim in self.claims:
            if claim in (true, false) or claim.lhs == claim.rhs:
                raise ValueError(f"{self.name}: after construction a claim reads {claim}, which says nothing: SymPy "
                                 "made its sides equal; state what it is to say in other words")

    @property
    def checks(self) -> tuple[str, ...]:
        """Names of the checks this theorem has."""
        return tuple(name for name in CHECKS if name not in self.missing)

    def latex(self) -> str:
        """The statement as aligned LaTeX."""
        return aligned(equations(self.claims))

    def __repr__(self) -> str:
        return f"<Theorem {self.name}: {self.title}>"

    def _repr_latex_(self) -> str:
        return f"${self.latex()}$"

    def check(self, name: str, claim: Relational | None = None) -> Outcome:
        """Run one check on all claims, or on `claim` in their place."""
        started = process_time()
        passed, details = getattr(self, f"_{name}")(self.claims if claim is None else (claim,))
        return Outcome(bool(passed), process_time() - started, details)

    def verdicts(self) -> dict[str, bool]:
        """Whether each of its checks passes."""
        return {name: self.check(name).passed for name in self.checks}

    def definitions(self) -> dict[Expr, Expr]:
        """Recipes of all dependent letters: those given, and those an assumption defines."""
        defined = {a.lhs: a.rhs for a in self.assumes if isinstance(a, Eq) and not a.lhs.args[0].args}
        return {**defined, **self.recipes}

    def instance(self, seed: int | None = None) -> Instance:
        """An exact instance, or with a seed a float64 one; ValueError unless it satisfies the assumptions."""
        if seed is not None:
            draw, scale = floats(seed), self.scale
        else:
            draw, scale = fields.rationals() if self.points else fields.rational_functions(64), 1
        dimensions = {n for letter in self.letters for d in letter.shape for n in d.free_symbols} | set(self.sizes)
        made = Instance({n: scale * self.sizes.get(n, 2) for n in dimensions}, draw, self.definitions())
        if self.values is not None:
            made.assign(self.values(draw))
        for equation in self.assumes:
            if not made.holds(_equation(equation)):
                raise ValueError(f"{self.name}: the instance does not satisfy {equation}: correct it")
        return made

    def counterexample(self) -> Counterexample:
        """Small rational matrices that break the identity this theorem denies; their `check` is independent.

        Raises
        ------
        ValueError
            If it denies no identity between words in free letters.
        """
        denied = [eq(claim.lhs, claim.rhs) for claim in self.claims if isinstance(claim, Ne)]
        if not denied or self.values is not None:
            raise ValueError(f"{self.name} denies no identity between free letters: see its symbolic check")
        return refute(list(self.assumes), denied)

    @cached_property
    def letters(self) -> tuple[Expr, ...]:
        """The matrices of the statement."""
        found = {letter for relation in (*self.assumes,
                                         *self.claims) for letter in relation.atoms(MatrixSymbol)}
        return tuple(sorted(found, key=str))

    @cached_property
    def certificates(self) -> dict[str, Certificate]:
        """The committed proofs, of the claims under "", of a schema's instances under their depth.

        Raises
        ------
        ValueError
            The file is damaged; the message names it.
        """
        depths = [""] if self.instances is None else ["", *map(str, DEPTHS)]
        return read_certificates(CERTIFICATES, self.name, depths)

    def search(self) -> dict[str, Certificate]:
        """Find the proofs anew; that the hypotheses can hold is shown by `instance`."""
        statements = {"": (self.assumes, self.claims)}
        if self.instances is not None:
            statements |= {str(depth): self.instances(depth) for depth in DEPTHS}
        return {
            depth: certify(Problem(*translate(list(assumes), list(claims))))
            for depth, (assumes, claims) in statements.items()
        }

    @cached_property
    def _exact(self) -> Instance:
        return self.instance()

    @cached_property
    def _floats(self) -> list[Instance]:
        return [self.instance(seed) for seed in range(3)]

    def _symbolic(self, claims: tuple[Relational, ...]) -> tuple[bool, dict]:
        if self.symbolic is not None:
            return all(map(self.symbolic, claims)), {}
        return all(map(self._exact.holds, claims)), {"numbers": "rational point" if self.points else "indeterminates"}

    def _numeric(self, claims: tuple[Relational, ...]) -> tuple[bool, dict]:
        if self.numeric is not None:
            error = max(map(self.numeric, claims))
        else:
            error = max(instance.error(claim) for instance in self._floats for claim in claims)
        return error <= self.tolerance, {"max_error": error}

    def _certificate(self, claims: tuple[Relational, ...]) -> tuple[bool, dict]:
        if "" not in self.certificates:
            return False, {"reason": "no certificate is committed: python -m ngdsym verify --search --write"}
        passed = _expands(self.certificates[""], self.assumes, self.claims, claims)
        if self.instances is not None and claims == self.claims:
            passed &= all(_expands(self.certificates[str(depth)], assumes, proved, proved)
                          for depth in DEPTHS for assumes, proved in [self.instances(depth)])
        return passed, {"cofactors": sum(certificate.cofactors for certificate in self.certificates.values())}


def _expands(certificate: Certificate, assumes: tuple[Basic, ...], proved: tuple[Relational, ...],
             claims: tuple[Relational, ...]) -> bool:
    """Whether the cofactors in `certificate` sum to `claims`; its own statement is not trusted."""
    others = tuple(claim for claim in claims if claim not in proved)
    stated = Problem(*translate(list(assumes), [*proved, *others]))
    problem = stated.data() | {"positive": stated.letters.positive, "lemmas": certificate.lemmas}
    proofs = certificate.data["cofactors"]
    if claims == proved:
        return Certificate({**problem, "cofactors": proofs}).check()
    listing = dict(zip((*proved, *others), problem["claims"]))
    return all(
        any(
            Certificate({**problem, "claims": [listing[claim]], "cofactors": [cofactors]}).check()
            for cofactors in proofs
        )
        for claim in claims
    )


def _equation(assumption: Basic) -> Eq:
    """An assumption as an equation: `Q.symmetric(X)` is `X = Xᵀ`."""
    if isinstance(assumption, Eq):
        return assumption
    if isinstance(assumption, AppliedPredicate) and assumption.function == Q.symmetric:
        return eq(assumption.arg, assumption.arg.T)
    raise TypeError(f"{assumption} is no hypothesis of a theorem: write it as an equation, or Q.symmetric(X)")

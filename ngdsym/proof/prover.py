"""`prove`: from matrix equations to a certificate that holds for all sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from sympy import Basic

from ngdsym.proof.certificate import Certificate, examine
from ngdsym.proof.declarations import declare
from ngdsym.proof.search import Cofactors, Contradiction, Search, order
from ngdsym.proof.shorten import shorten
from ngdsym.proof.sizes import refuse_impossible
from ngdsym.proof.translate import translate
from ngdsym.proof.words import Equation, Letters, Polynomial

MAX_LENGTH, MAX_RULES = 16, 400

VACUITY_STEPS = 50
"""Rules sought beyond a proof, in case the assumptions that gave it contradict each other."""

Statement: TypeAlias = str | Equation | Polynomial | Basic


class ProofNotFound(Exception):
    """No certificate was found. `remainder` is the claim rewritten as far as the assumptions allow."""

    def __init__(self, message: str, remainder: Polynomial) -> None:
        super().__init__(message)
        self.remainder = remainder


class VacuousHypotheses(ValueError):
    """The assumptions contradict each other: they imply that an identity matrix is zero.

    `certificate` proves that a letter vanishes, by multiplying 1 = 0 with it.
    """

    def __init__(self, message: str, certificate: Certificate) -> None:
        super().__init__(message)
        self.certificate = certificate


def prove(assumptions: Statement | Sequence[Statement], claim: Statement | Sequence[Statement], *,
          types: Mapping[str, Iterable[object]] | None = None, symmetric: Iterable[str] = (),
          inverses: Mapping[str, str] | None = None, pinvs: Mapping[str, str] | None = None,
          max_length: int = MAX_LENGTH, max_rules: int = MAX_RULES) -> Certificate:
    """Prove that `claim` follows from `assumptions` for matrices of every size.

    The certificate writes claim = Σ c · left · assumption · right, with every product well typed. Assumptions
    also serve transposed, and the relations that define inverses and pseudo-inverses are assumptions. With it comes a
    `witness`: small matrices that keep the assumptions, or a note that none were found.

    Parameters
    ----------
    assumptions, claim : equations as text (`"A Y A' P A = A"`; without `=`, the polynomial vanishes), as
        objects `Equation` or `Polynomial` over one `Letters`, or as SymPy `Eq` or matrix expressions.
        A list of claims is a conjunction.
    types : for text, `{"A B": ("rows", "columns"), …}`.
    symmetric : for text, the letters that are their own transposes.
    inverses, pinvs : for text, letter → name of its inverse, or of its Moore–Penrose inverse.
    max_length, max_rules : limits of the search: letters in an overlap, and rules made.

    Raises
    ------
    ProofNotFound
        Nothing was found within the limits; the message says what remained.
    VacuousHypotheses
        The assumptions imply 1 = 0, so they would prove anything.
    ImpossibleSizes
        An assumption that no sizes allow, such as X Y = 1 of size n + 1 through size n.
    UndeclaredLetter, TypeMismatch
        A letter without type; a product or sum of unfitting shapes.

    Examples
    --------
    >>> certificate = prove(["X A = 1", "A Y = 1"], "X = Y", types={"A": ("m", "n"), "X Y": ("n", "m")})
    >>> certificate.check()
    True
    >>> print(certificate)
    (0) X A - 1 = 0
    (1) A Y - 1 = 0
    X - Y =
        + (0) Y
        - X (1)
    """
    from ngdsym.proof.refute import witness

    statement = read(assumptions, claim, types=types, symmetric=symmetric, inverses=inverses, pinvs=pinvs)
    certificate = statement.prove(max_length, max_rules)
    return Certificate({**certificate.data, "witness": witness(statement)})


class Problem:
    """Letters, assumptions (with the letters' own relations) and claims, read and typed."""

    def __init__(self, letters: Letters, assumptions: list[Equation], claims: list[Equation]) -> None:
        self.letters = letters
        self.assumptions = assumptions + letters.relations
        self.claims = claims
        refuse_impossible(letters, self.assumptions)

    def data(self) -> dict:
        """The statement as a certificate records it."""
        letters = self.letters
        table = {name: [*letters.types[name], *letters.spell(*letters[name].T.terms)]
                 for name in letters.names}
        return {"letters": table, "assumptions": [e.listing() for e in self.assumptions],
                "claims": [e.listing() for e in self.claims]}

    def prove(self, max_length: int = MAX_LENGTH, max_rules: int = MAX_RULES) -> Certificate:
        """As the function `prove`."""
        generators, origin = [], []
        for k, equation in enumerate(self.assumptions):
            for transposed, p in enumerate((equation.difference, equation.difference.T)):
                if p.terms and p.terms not in generators and (-p).terms not in generators:
                    generators.append(p.terms)
                    origin.append((k, transposed))
        try:
            search = Search(generators, max_length, max_rules)
            proofs = [self._cofactors(search, claim, origin) for claim in self.claims]
            for _ in range(VACUITY_STEPS):
                search.step()
        except Contradiction as contradiction:
            raise self._vacuous(contradiction, origin) from None
        data = {**self.data(), "cofactors": proofs, "latex": self.letters.latex}
        examine(data)
        return Certificate(data)

    def _cofactors(self, search: Search, claim: Equation, origin: list[tuple[int, int]]) -> list[list]:
        rest, steps = search.reduce(claim.difference.terms)
        while rest:
            if not search.step():
                raise self._not_found(search, claim, rest)
            rest, more = search.reduce(rest)
            steps += more
        found = search.expand([(-c, left, k, right) for c, left, k, right in steps])
        return self._listing(shorten(claim.difference.terms, search.assumptions, found), origin)

    def _listing(self, cofactors: Cofactors, origin: list[tuple[int, int]]) -> list[list]:
        spell = self.letters.spell
        ordered = sorted(cofactors, key=lambda term: (term[1], order(term[0]), order(term[2])))
        return [[str(cofactors[left, k, right]), list(spell(left)), *origin[k], list(spell(right))]
                for left, k, right in ordered]

    def _not_found(self, search: Search, claim: Equation, rest: dict) -> ProofNotFound:
        remainder = Polynomial(self.letters, claim.type, rest)
        reason = (f"the limits were reached ({len(search.rules)} rules made); raise max_length or max_rules, "
                  "or try refute on the same arguments" if search.truncated else
                  "the assumptions were exhausted: the claim is no algebraic consequence of them and their "
                  "transposes; try refute on the same arguments to see matrices that break it, or add the "
                  "missing hypothesis")
        return ProofNotFound(f"no proof of {claim} was found. With the assumptions it becomes "
                             f"{remainder} = 0, and {reason}.", remainder)

    def _vacuous(self, contradiction: Contradiction, origin: list[tuple[int, int]]) -> VacuousHypotheses:
        proof = self._listing(contradiction.cofactors, origin)
        used = sorted({term[2] for term in proof})
        equations = "; ".join(str(self.assumptions[k]) for k in used)
        _, left, k, transposed, _ = proof[0]
        kind = self.letters.types[left[0]] if left else self.assumptions[k].type[::-1 if transposed else 1]
        name = next(name for name, (rows, _) in self.letters.types.items() if rows == kind[0])
        proof = [[*term[:4], [*term[4], name]] for term in proof]
        data = {**self.data(), "claims": [[["1", [name]]]], "cofactors": [proof]}
        return VacuousHypotheses(f"the assumptions contradict each other: {equations} together imply 1 = 0, "
                                 "so they hold for no matrices and would prove anything", Certificate(data))


def read(assumptions: Statement | Sequence[Statement], claim: Statement | Sequence[Statement], *,
         types: Mapping[str, Iterable[object]] | None = None, symmetric: Iterable[str] = (),
         inverses: Mapping[str, str] | None = None, pinvs: Mapping[str, str] | None = None) -> Problem:
    """The arguments of `prove` and `refute` as a typed `Problem`."""
    given = _listed(assumptions), _listed(claim)
    if not given[1]:
        raise ValueError("there is no claim")
    kinds = {str if isinstance(s, str) else Basic if isinstance(s, Basic) else Polynomial
             for s in sum(given, [])}
    if len(kinds) > 1:
        raise TypeError("state everything as text, or all as SymPy expressions, or all over one Letters")
    if kinds == {str}:
        if types is None:
            raise TypeError("equations in text need types={'A': ('rows', 'columns'), …}")
        letters = declare(types, symmetric, inverses, pinvs)
        return Problem(letters, *([letters.equation(s) for s in side] for side in given))
    if types is not None or symmetric or inverses or pinvs:
        raise TypeError("types, symmetric, inverses and pinvs belong to equations in text")
    if kinds == {Basic}:
        return Problem(*translate(*given))
    sides = [[s if isinstance(s, Equation) else Equation(s, 0 * s) for s in side] for side in given]
    return Problem(sides[1][0].left.letters, *sides)


def _listed(statements: Statement | Sequence[Statement]) -> list:
    return list(statements) if isinstance(statements, (list, tuple)) else [statements]

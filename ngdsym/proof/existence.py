"""`exists`: is a linear matrix equation solvable, and by what.

L X R = C has a solution X exactly if L L⁺ C R⁺R = C, and then X = L⁺ C R⁺ is the one of least norm (Penrose 1955);
with L = B and R = 1 this is range inclusion, A = B X (Douglas 1966). Of several unknowns each takes up what the
ones before left over, as in A X + Y B = C: X = A⁺C and Y = (1 − A A⁺) C B⁺ (Baksalary and Kala 1979). So existence
becomes an identity, and its certificate proves that the witness solves the equation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ngdsym.proof.certificate import Certificate
from ngdsym.proof.declarations import declare
from ngdsym.proof.letters import Letters
from ngdsym.proof.problem import Problem
from ngdsym.proof.prover import certify
from ngdsym.proof.reading import equation as read_equation
from ngdsym.proof.words import Equation, Number, Polynomial


@dataclass(frozen=True)
class Existence:
    """Values of the unknowns, and the proof that they solve the equation."""

    witness: dict[str, Polynomial]
    certificate: Certificate

    def __str__(self) -> str:
        found = ", ".join(f"{name} = {value}" for name, value in self.witness.items())
        return f"{found}, because\n{self.certificate}"


def exists(
    unknowns: Mapping[str, Sequence[object]],
    assumptions: str | Sequence[str],
    equation: str,
    *,
    types: Mapping[str, Iterable[object]],
    symmetric: Iterable[str] = (),
    inverses: Mapping[str, str] | None = None,
    pinvs: Mapping[str, str] | None = None,
    positive: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Existence:
    """Prove that for all matrices with `assumptions` there are matrices `unknowns` with `equation`.

    Parameters
    ----------
    unknowns : `{"X": ("rows", "columns"), …}`; each occurs in one term of the equation, once and untransposed.
    assumptions, equation : text, as for `prove`.
    types, symmetric, inverses, pinvs, positive, timeout : as for `prove`.

    Raises
    ------
    ProofNotFound
        It was not proved that the witness solves the equation; for one unknown no other matrix solves it then
        either, so refute the identity in the message to see where there is no solution.
    ValueError
        An unknown does not occur just once.

    Examples
    --------
    >>> sizes = {"A": ("m", "n"), "B": ("m", "k"), "C": ("m", "l")}
    >>> found = exists({"X": ("k", "n")}, "A A' + C C' = B B'", "A = B X", types=sizes)
    >>> found.witness
    {'X': B⁺ A}
    >>> found.certificate.check()
    True
    """
    letters = declare({**types, **unknowns}, symmetric, inverses, pinvs, positive)
    given = [read_equation(letters, text) for text in ([assumptions] if isinstance(assumptions, str) else assumptions)]
    known = read_equation(letters, equation).difference
    terms = {name: _term(known, name) for name in unknowns}
    for c, before, name, after in terms.values():
        known = known - c * before * letters[name] * after
    rest, witness = -known, {}
    for c, before, name, after in terms.values():
        value = _inverse(before) * rest * _inverse(after)
        witness[name] = Fraction(1, c) * value
        rest = rest - before * value * after
    return Existence(witness, certify(Problem(letters, given, [Equation(-rest, 0 * rest)]), timeout))


def _term(polynomial: Polynomial, name: str) -> tuple[Number, Polynomial, str, Polynomial]:
    """Coefficient, left, name, right of the one term in which the unknown occurs."""
    letters = polynomial.letters
    words = [(c, letters.spell(word)) for word, c in polynomial.terms.items()]
    found = [(c, word) for c, word in words if name in word or name + "'" in word]
    if len(found) != 1 or (found[0][1].count(name), found[0][1].count(name + "'")) != (1, 0):
        raise ValueError(f"the unknown {name} has to occur in one term of the equation, once and untransposed")
    ((c, word),) = found
    at = word.index(name)
    return c, _product(letters, word[:at]), name, _product(letters, word[at + 1 :])


def _product(letters: Letters, names: Sequence[str]) -> Polynomial:
    product = letters.one
    for name in names:
        product = product * letters[name]
    return product


def _inverse(product: Polynomial) -> Polynomial:
    """The inverse of a product of letters where it is declared, otherwise the pseudo-inverse."""
    letters = product.letters
    if product == letters.one:
        return product
    invertible = any(mark == "⁻¹" and product in (base, base.T) for base, mark in letters.inverted.values())
    return letters.inverse(product, "⁻¹" if invertible else "⁺")

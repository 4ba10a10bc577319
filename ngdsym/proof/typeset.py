"""Words and sums of a certificate, as text and as LaTeX.

How a letter is typeset follows from its name alone, so that a certificate cannot show one letter as another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from fractions import Fraction

TOP = r"^{\top}"
WIDTH = 24  # letters of a sum that the box of a notebook's output holds

GREEK = {
    "Γ": "Gamma",
    "Δ": "Delta",
    "Θ": "Theta",
    "Λ": "Lambda",
    "Ξ": "Xi",
    "Π": "Pi",
    "Σ": "Sigma",
    "Υ": "Upsilon",
    "Φ": "Phi",
    "Ψ": "Psi",
    "Ω": "Omega",
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "ζ": "zeta",
    "η": "eta",
    "θ": "theta",
    "ι": "iota",
    "κ": "kappa",
    "λ": "lambda",
    "μ": "mu",
    "ν": "nu",
    "ξ": "xi",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "υ": "upsilon",
    "φ": "phi",
    "χ": "chi",
    "ψ": "psi",
    "ω": "omega",
    "ℓ": "ell",
}
_MARKS = {"⁺": "^{+}", "⁻¹": "^{-1}"}
_NAME = r"[^\W\d][\w\u0300-\u036f]*[⁺⁻¹]*"
_NAMES = re.compile(rf"{_NAME}'?")
_FRACTION = re.compile(r"\b(\d+)/(\d+) *")
_INSIDE = re.compile(rf"\.T|\*\*\(-1\)|\*|⁻¹|⁺|'|{_NAME}")


def sign(c: str) -> str:
    """Sign of a coefficient, and its size where that is not 1."""
    size = "" if abs(Fraction(c)) == 1 else f"{abs(Fraction(c))} "
    return ("- " if Fraction(c) < 0 else "+ ") + size


def text_sum(polynomial: list) -> str:
    return " ".join(sign(c) + (" ".join(word) or "1") for c, word in polynomial).removeprefix("+ ")


def text_terms(proof: list) -> list[str]:
    return [f"    {sign(c)}{' '.join([*left, f'({k}){chr(39) * bool(t)}', *right])}" for c, left, k, t, right in proof]


def latex_sign(c: str) -> str:
    size = abs(Fraction(c))
    text = "" if size == 1 else rf"\tfrac{{{size.numerator}}}{{{size.denominator}}}"
    return ("-" if Fraction(c) < 0 else "+") + (str(size) if size.denominator == 1 and size != 1 else text)


class Typesetter:
    r"""LaTeX of words and sums in letters of the given names.

    Names that would look alike are printed as they are; `aliases` maps a name to the one that it is typeset by.

    Examples
    --------
    >>> spell = Typesetter(["A", "Lambda_tilde_i", "X⁻¹", "X⁻¹'", "Y1", "Y_1"])
    >>> print(spell.word(["A", "Lambda_tilde_i", "X⁻¹'"]))
    A\,\tilde{\Lambda}_{i}\,{{X}^{-1}}^{\top}
    >>> print(spell.letter("Y1"), spell.letter("Y_1"))
    \mathtt{Y1} \mathtt{Y\_1}
    """

    def __init__(self, names: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        aliases = aliases or {}
        bases = dict.fromkeys(name.removesuffix("'") for name in names)
        looks = {name: _letter(aliases.get(name, name)) for name in bases}
        alike = Counter(looks.values())
        self._looks = {name: look if alike[look] == 1 else _verbatim(name) for name, look in looks.items()}

    def letter(self, name: str) -> str:
        base = name.removesuffix("'")
        look = self._looks.get(base) or _letter(base)
        return look if base == name else (f"{{{look}}}" if "^" in look else look) + TOP

    def word(self, word: list) -> str:
        return r"\,".join(map(self.letter, word))

    def sum(self, polynomial: list) -> str:
        return " ".join(map(self._signed, polynomial)).removeprefix("+")

    def rows(self, polynomial: list, end: str) -> list[str]:
        r"""Rows that are together the sum with `end` behind it, each of at most `WIDTH` letters.

        Examples
        --------
        >>> print(*Typesetter("AB").rows([["1", 9 * ["A"]], ["-1", 9 * ["B"]], ["1", 9 * ["A"]]], "= 0"), sep="\n")
        & A\,A\,A\,A\,A\,A\,A\,A\,A -B\,B\,B\,B\,B\,B\,B\,B\,B
        & +A\,A\,A\,A\,A\,A\,A\,A\,A = 0
        """
        rows, letters = [f"& {self._signed(polynomial[0]).removeprefix('+')}"], len(polynomial[0][1])
        for term in polynomial[1:]:
            letters += len(term[1])
            if letters > WIDTH:
                rows.append(f"& {self._signed(term)}")
                letters = len(term[1])
            else:
                rows[-1] += f" {self._signed(term)}"
        return [*rows[:-1], f"{rows[-1]} {end}"]

    def _signed(self, term: list) -> str:
        c, word = term
        return latex_sign(c) + (self.word(word) or "I")

    def terms(self, proof: list) -> list[str]:
        return [
            rf"& \quad {latex_sign(c)} {self.word(left)}\,({k}){TOP * bool(t)}\,{self.word(right)}"
            for c, left, k, t, right in proof
        ]

    def text(self, expression: str) -> str:
        """A sum of products as `Letters.parse` reads it."""
        text = _NAMES.sub(lambda found: self.letter(found[0]), expression).replace("'", TOP)
        return _FRACTION.sub(r"\\tfrac{\1}{\2} ", text)


def _letter(name: str) -> str:
    """LaTeX of an unprimed letter: Greek by name or sign, `_tilde` and `star`, one index, marks of inverses."""
    for mark, power in _MARKS.items():
        if name.endswith(mark):
            inner = name.removesuffix(mark)
            look = _expression(inner) if inner.startswith("(") else _letter(inner)
            return f"{{{look}}}{power}"
    base, *indices = name.split("_")
    if not indices and (digits := base[len(base.rstrip("0123456789")) :]):
        base, indices = base.removesuffix(digits), [digits]
    tilde = indices[:1] == ["tilde"] or base.endswith("tilde")
    base, indices = base.removesuffix("tilde"), indices[indices[:1] == ["tilde"] :]
    star = base.endswith("star") * "^{*}"
    base = GREEK.get(base, base.removesuffix("star"))
    look = rf"\{base}" if base in GREEK.values() else base if len(base) == 1 else rf"\mathrm{{{base}}}"
    look = rf"\tilde{{{look}}}" if tilde else look
    return look + star + (f"_{{{' '.join(indices)}}}" if indices else "")


def _expression(text: str) -> str:
    """The inside of a name such as (A*B.T)⁺ or (A*B')⁺, as SymPy or `Letters` writes it."""
    signs = {".T": TOP, "'": TOP, "**(-1)": "^{-1}", "*": r"\,", **_MARKS}
    inner = _INSIDE.sub(lambda found: signs.get(found[0]) or _letter(found[0]), text[1:-1])
    return rf"\left({inner}\right)"


def _verbatim(name: str) -> str:
    return rf"\mathtt{{{name}}}".replace("_", r"\_")

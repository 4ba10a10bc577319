"""Certificates of identities between matrices of unknown size, and their independent checker.

A certificate writes each claim as Σ c · left · assumption · right, with rational c and words left, right,
where the assumption may be transposed. Re-expanding that sum is the whole check; it needs no trust in the
search that found it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from operator import add, mul, sub, truediv


NAME = r"[^\W\d][\w\u0300-\u036f⁺⁻]*'?|\(\S+\)(⁻¹|⁺)'?"
"""What a letter may be called: one word, which no reader can take for a product, a sum or a number."""


class Refused(Exception):
    """Why a certificate is no proof."""


def examine(data: Mapping) -> None:
    """Raise `Refused` unless every claim of `data` is the sum of its cofactors, all of them well typed.

    `data["letters"]` maps a letter to `[rows, columns, transpose]`; `data["assumptions"]` and
    `data["claims"]` are lists of polynomials `[[coefficient, [letter, …]], …]`, each meaning "= 0";
    `data["cofactors"]` holds for each claim its terms
    `[coefficient, left, assumption number, transposed, right]`.
    """
    letters = data["letters"]

    def need(condition: object, reason: str) -> None:
        if not condition:
            raise Refused(reason)

    def kind(word: list, at: tuple) -> tuple:
        """Type of a word; of the empty word, `at`."""
        need(all(x in letters for x in word), f"undeclared letter in {word}")
        need(all(letters[x][1] == letters[y][0] for x, y in zip(word, word[1:])), f"ill-typed product {word}")
        return (letters[word[0]][0], letters[word[-1]][1]) if word else at

    def read(polynomial: list) -> tuple[tuple, list]:
        """Common type and terms of a polynomial."""
        types = {kind(word, ()) for _, word in polynomial if word}
        need(len(types) == 1, f"terms of different type, or no letters: {polynomial}")
        rows, cols = types.pop()
        need(rows == cols or all(word for _, word in polynomial), f"1 in a rectangular sum: {polynomial}")
        return (rows, cols), [(Fraction(c), tuple(word)) for c, word in polynomial]

    for x, (rows, cols, t) in letters.items():
        need(re.fullmatch(NAME, x), f"{x!r} cannot name a letter")
        need(x == t + "'" if x.endswith("'") else t in (x, x + "'"), f"{t} cannot be the transpose of {x}")
        need(t in letters and letters[t] == [cols, rows, x], f"{x} and its transpose {t} disagree")
    assumptions = [read(p) for p in data["assumptions"]]
    need(len(data["claims"]) == len(data["cofactors"]) > 0, "not one list of cofactors for each claim")
    for claim, cofactors in zip(data["claims"], data["cofactors"]):
        (rows, cols), terms = read(claim)
        rest: dict[tuple, Fraction] = {}
        for c, word in terms:
            rest[word] = rest.get(word, 0) + c
        for c, left, k, transposed, right in cofactors:
            need(type(k) is int and 0 <= k < len(assumptions), f"there is no assumption {k}")
            (r, s), generator = assumptions[k]
            if transposed:
                (r, s), generator = (s, r), [(a, tuple(letters[x][2] for x in w[::-1])) for a, w in generator]
            need(kind(left, (r, r)) == (rows, r) and kind(right, (s, s)) == (s, cols),
                 f"ill-typed cofactor: {left} · assumption {k} · {right}")
            for a, w in generator:
                word = (*left, *w, *right)
                rest[word] = rest.get(word, 0) - Fraction(c) * a
        need(not any(rest.values()), f"the cofactors leave over {[w for w in rest if rest[w]]}")


def exemplify(data: Mapping) -> None:
    """Raise `Refused` unless the matrices of `data["witness"]`, if any, keep shapes, symmetries and assumptions."""
    matrices, sizes = data["witness"].get("matrices"), data["witness"].get("sizes")
    if matrices is None:
        return
    values = {x: [[Fraction(c) for c in row] for row in rows] for x, rows in matrices.items()}
    for x, (_, _, t) in data["letters"].items():
        values.setdefault(x, [list(column) for column in zip(*values[t])] if t in values else [])
    for x, (rows, cols, t) in data["letters"].items():
        if [len(row) for row in values[x]] != [sizes[cols]] * sizes[rows] or not values[x]:
            raise Refused(f"the example of {x} has the wrong shape")
        if values[x] != [list(column) for column in zip(*values[t])]:
            raise Refused(f"the examples of {x} and its transpose {t} disagree")
    for name, number in sizes.items():
        if not name.isidentifier() and _number(ast.parse(name, mode="eval").body, sizes) != number:
            raise Refused(f"the example has {name} = {number}")
    for k, polynomial in enumerate(data["assumptions"]):
        rest: dict[tuple[int, int], Fraction] = {}
        (word, *_) = [word for _, word in polynomial if word]
        size = len(values[word[0]])
        for c, word in polynomial:
            product = [[Fraction(i == j) for j in range(size)] for i in range(size)]
            for x in word:
                product = [[sum(map(mul, row, column)) for column in zip(*values[x])] for row in product]
            for i, row in enumerate(product):
                for j, entry in enumerate(row):
                    rest[i, j] = rest.get((i, j), 0) + Fraction(c) * entry
        if any(rest.values()):
            raise Refused(f"the example breaks assumption {k}")


_OPERATIONS: Mapping[type, Callable[..., Fraction]] = {
    ast.Add: add, ast.Sub: sub, ast.Mult: mul, ast.Div: truediv, ast.Pow: pow}


def _number(node: ast.AST, sizes: Mapping[str, int]) -> Fraction:
    """What a size such as 2*n + 1 is; a name of no symbol raises KeyError."""
    match node:
        case ast.Constant(int() as value):
            return Fraction(value)
        case ast.Name(name):
            return Fraction(sizes[name])
        case ast.UnaryOp(ast.USub(), inner):
            return -_number(inner, sizes)
        case ast.BinOp(left, sign, right):
            a, b = _number(left, sizes), _number(right, sizes)
            return _OPERATIONS[type(sign)](a, b)
    raise ValueError(f"{ast.unparse(node)} is no size")


@dataclass(frozen=True)
class Certificate:
    """A proof that the claims follow from the assumptions, for matrices of every size.

    `str` and notebooks show it as a computation a person can follow; `check` re-expands it.
    """

    data: dict

    def check(self) -> bool:
        """Whether the claims are the sums of their cofactors, and the witness keeps the assumptions.

        Uses `examine` and `exemplify` only, nothing of the search.
        """
        return self.refusal() is None

    def refusal(self) -> str | None:
        """Why `check` says no; None when it says yes."""
        try:
            examine(self.data)
            if "witness" in self.data:
                exemplify(self.data)
        except Refused as reason:
            return str(reason)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError,
                SyntaxError) as error:
            return f"malformed certificate: {error!r}"
        return None

    @property
    def witness(self) -> dict:
        """Matrices that keep the assumptions: `sizes`, and `matrices` as rows of fractions in text.

        `note` says so where none were found, or only some with letters that are zero. Empty when none were sought.
        """
        return self.data.get("witness", {})

    @property
    def cofactors(self) -> int:
        """Number of terms c · left · assumption · right over all claims."""
        return sum(map(len, self.data["cofactors"]))

    @property
    def used(self) -> frozenset[int]:
        """Numbers of the assumptions the proof rests on."""
        return frozenset(k for proof in self.data["cofactors"] for _, _, k, _, _ in proof)

    @property
    def statement(self) -> dict:
        """Letters, assumptions and claims, without the proof: compare it to know *what* was proved."""
        return {key: self.data[key] for key in ("letters", "assumptions", "claims")}

    def to_json(self) -> str:
        """One JSON object, byte-identical from run to run."""
        return json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Read what `to_json` wrote. Nothing is trusted until `check`."""
        return cls(json.loads(text))

    def __repr__(self) -> str:
        claims = "; ".join(f"{_sum(claim)} = 0" for claim in self.data["claims"])
        return f"<Certificate of {claims}: {self.cofactors} cofactors>"

    def __str__(self) -> str:
        same = [f"{x} = {x}'" for x, (_, _, t) in self.data["letters"].items() if x == t and x in self._shown()]
        lines = [f"with {', '.join(same)}"] if same else []
        lines += [f"({k}) {_sum(p)} = 0" for k, p in enumerate(self.data["assumptions"]) if k in self.used]
        for claim, proof in zip(self.data["claims"], self.data["cofactors"]):
            lines.append(f"{_sum(claim)} =" + ("" if proof else " 0, term by term"))
            lines += [f"    {_sign(c)}{' '.join([*left, f'({k}){chr(39) * bool(t)}', *right])}"
                      for c, left, k, t, right in proof]
        return "\n".join([*lines, *([f"note: {self.witness['note']}"] if "note" in self.witness else [])])

    def _shown(self) -> set[str]:
        """The letters that occur in the assumptions used or in the claims."""
        used = [p for k, p in enumerate(self.data["assumptions"]) if k in self.used]
        return {x for p in [*used, *self.data["claims"]] for _, word in p for x in word}

    def _repr_latex_(self) -> str:
        spell = Typesetter(self.data.get("latex", {}))
        rows = [rf"({k})\quad & {spell.sum(p)} = 0"
                for k, p in enumerate(self.data["assumptions"]) if k in self.used]
        for claim, proof in zip(self.data["claims"], self.data["cofactors"]):
            rows.append(f"& {spell.sum(claim)} =" + ("" if proof else " 0"))
            rows += [rf"& \quad {_latex_sign(c)} {spell.word(left)}\,({k}){_TOP * bool(t)}\,"
                     rf"{spell.word(right)}"
                     for c, left, k, t, right in proof]
        return "$$\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}$$"


_TOP = r"^{\top}"


def _sign(c: str) -> str:
    size = "" if abs(Fraction(c)) == 1 else f"{abs(Fraction(c))} "
    return ("- " if Fraction(c) < 0 else "+ ") + size


def _sum(polynomial: list) -> str:
    return " ".join(_sign(c) + (" ".join(word) or "1") for c, word in polynomial).removeprefix("+ ")


def _latex_sign(c: str) -> str:
    size = abs(Fraction(c))
    text = "" if size == 1 else rf"\tfrac{{{size.numerator}}}{{{size.denominator}}}"
    return ("-" if Fraction(c) < 0 else "+") + (str(size) if size.denominator == 1 and size != 1 else text)


class Typesetter:
    """LaTeX of words and sums; `special` overrides how a letter looks."""

    def __init__(self, special: Mapping[str, str]) -> None:
        self.special = special

    def letter(self, name: str) -> str:
        prime = "'" * name.endswith("'")
        base = name.removesuffix("'")
        index = base[len(base.rstrip("0123456789")):]
        base = base.removesuffix(index).removesuffix("_")
        base = base if len(base) == 1 else rf"\mathrm{{{base}}}"
        return self.special.get(name) or base + (f"_{{{index}}}" if index else "") + (_TOP if prime else "")

    def word(self, word: list) -> str:
        return r"\,".join(map(self.letter, word))

    def sum(self, polynomial: list) -> str:
        return " ".join(_latex_sign(c) + (self.word(word) or "I") for c, word in polynomial).removeprefix("+")

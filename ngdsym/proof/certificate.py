"""Certificates of identities between matrices of unknown size, and their independent checker.

A certificate writes each claim as Σ c · left · assumption · right, with rational c and words left, right,
where the assumption may be transposed. Re-expanding that sum is the whole check; it needs no trust in the
search that found it.

Before the claims there may be lemmas, numbered on behind the assumptions so that what follows may use them:
further equations, proved alike, and *positivity lemmas*. Such a lemma writes a sum of squares Σ c Xᵀ M X, where
c > 0 and M is nothing or a letter declared positive, as such a sum, or in trace, which does not change when a
word is rotated. So the sum vanishes, and with it each square; for real matrices that means X = 0 (M X = 0 where
M is only semidefinite)."""

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
    """Raise `Refused` unless all lemmas and claims of `data` are the sums of their cofactors, well typed.

    `letters` maps a letter to `[rows, columns, transpose]`; `assumptions` and `claims` are polynomials
    `[[c, [letter, …]], …]`; `cofactors` holds for each claim its terms `[c, left, assumption, transposed, right]`.
    Optional: `positive`, letter → "pd" or "psd"; `lemmas`, each with `cofactors` and an `equation`, or with `squares`
    `[c, X, [M] or []]` and whether in `trace`. Their conclusions are numbered on behind the assumptions.
    """
    letters, positive = data["letters"], data.get("positive", {})

    def need(condition: object, reason: str) -> None:
        if not condition:
            raise Refused(reason)

    def kind(word: list, at: tuple) -> tuple:
        need(all(x in letters for x in word), f"undeclared letter in {word}")
        need(all(letters[x][1] == letters[y][0] for x, y in zip(word, word[1:])), f"ill-typed product {word}")
        return (letters[word[0]][0], letters[word[-1]][1]) if word else at

    def read(polynomial: list) -> tuple[tuple, list]:
        types = {kind(word, ()) for _, word in polynomial if word}
        need(len(types) == 1, f"terms of different type, or no letters: {polynomial}")
        rows, cols = types.pop()
        need(rows == cols or all(word for _, word in polynomial), f"1 in a rectangular sum: {polynomial}")
        return (rows, cols), [(Fraction(c), tuple(word)) for c, word in polynomial]

    def transpose(fact: tuple[tuple, list]) -> tuple[tuple, list]:
        (r, s), terms = fact
        return (s, r), [(c, tuple(letters[x][2] for x in word[::-1])) for c, word in terms]

    for x, (rows, cols, t) in letters.items():
        need(re.fullmatch(NAME, x), f"{x!r} cannot name a letter")
        need(x == t + "'" if x.endswith("'") else t in (x, x + "'"), f"{t} cannot be the transpose of {x}")
        need(t in letters and letters[t] == [cols, rows, x], f"{x} and its transpose {t} disagree")
    need(len(data["claims"]) == len(data["cofactors"]) > 0, "not one list of cofactors for each claim")
    facts = [read(p) for p in data["assumptions"]]
    claims = [{"equation": p, "cofactors": proof} for p, proof in zip(data["claims"], data["cofactors"])]
    for step in [*data.get("lemmas", ()), *claims]:
        if "equation" in step:
            at, root = read(step["equation"])
            trace, roots, terms = False, [(at, root)], [(c, word, at[0]) for c, word in root]
        else:
            trace, roots, terms, at = step["trace"], [], [], None
            for c, X, M in step["squares"]:
                ((r, s), root), c = read(X), Fraction(c)
                need(c > 0 and len(M) < 2 and (trace or at in (None, (s, s))), f"no sum of squares: {c}, {M}")
                need(all(letters[x] == [r, r, x] and positive[x] in ("pd", "psd") for x in M), f"no weight: {M}")
                terms += [(c * a * b, (*v, *M, *w), s) for a, v in transpose(((r, s), root))[1] for b, w in root]
                at = (s, s)
                roots += [((r, s), [(a, (*(x for x in M if positive[x] == "psd"), *w)) for a, w in root])]
        for c, left, k, transposed, right in step["cofactors"]:
            need(type(k) is int and 0 <= k < len(facts), f"there is no assumption {k}")
            (r, s), generator = transpose(facts[k]) if transposed else facts[k]
            (rows, x), (y, cols) = kind(left, (r, r)), kind(right, (s, s))
            fits = (x, y) == (r, s) and (rows == cols if trace else (rows, cols) == at)
            need(fits, f"ill-typed cofactor: {left} · assumption {k} · {right}")
            terms += [(-Fraction(c) * a, (*left, *w, *right), rows) for a, w in generator]
        rest: dict[tuple, Fraction] = {}
        for c, word, size in terms:
            word = min((word[i:] + word[:i] for i in range(len(word))), default=((size,),)) if trace else word
            rest[word] = rest.get(word, 0) + c
        need(not any(rest.values()), f"the cofactors leave over {[w for w in rest if rest[w]]}")
        facts += roots


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
    ast.Add: add,
    ast.Sub: sub,
    ast.Mult: mul,
    ast.Div: truediv,
    ast.Pow: pow,
}


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
        """Whether lemmas and claims are the sums of their cofactors, and the witness keeps the assumptions.

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
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, SyntaxError) as error:
            return f"malformed certificate: {error!r}"
        return None

    @property
    def witness(self) -> dict:
        """Matrices that keep the assumptions: `sizes`, and `matrices` as rows of fractions in text.

        `note` says so where none were found, or only some with letters that are zero. Empty when none were sought.
        """
        return self.data.get("witness", {})

    @property
    def proofs(self) -> list[list]:
        """The terms c · left · assumption · right, first those of the lemmas, then those of the claims."""
        return [lemma["cofactors"] for lemma in self.lemmas] + self.data["cofactors"]

    @property
    def lemmas(self) -> list[dict]:
        """The positivity lemmas; none in a proof that is pure algebra."""
        return self.data.get("lemmas", [])

    @property
    def cofactors(self) -> int:
        """Number of terms c · left · assumption · right over all lemmas and claims."""
        return sum(map(len, self.proofs))

    @property
    def used(self) -> frozenset[int]:
        """Numbers of the assumptions the proof rests on."""
        return frozenset(k for proof in self.proofs for _, _, k, _, _ in proof if k < len(self.data["assumptions"]))

    @property
    def statement(self) -> dict:
        """Letters, assumptions and claims, without the proof: compare it to know *what* was proved."""
        return {key: self.data[key] for key in ("letters", "positive", "assumptions", "claims") if key in self.data}

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

    def _conclusions(self, lemma: dict) -> list[list]:
        """What a lemma shows to vanish: an equation, or of each square X (M X for a semidefinite M)."""
        if "equation" in lemma:
            return [lemma["equation"]]
        semidefinite = [x for x, kind in self.data.get("positive", {}).items() if kind == "psd"]
        return [[[c, [*(x for x in M if x in semidefinite), *w]] for c, w in X] for _, X, M in lemma["squares"]]

    def __str__(self) -> str:
        same = [f"{x} = {x}'" for x, (_, _, t) in self.data["letters"].items() if x == t and x in self._shown()]
        lines = [f"with {', '.join(same)}"] if same else []
        lines += [f"({k}) {_sum(p)} = 0" for k, p in enumerate(self.data["assumptions"]) if k in self.used]
        lines += [
            f"{x} is positive {'definite' if kind == 'pd' else 'semidefinite'}"
            for x, kind in self.data.get("positive", {}).items()
        ]
        number = len(self.data["assumptions"])
        for lemma in self.lemmas:
            if "equation" in lemma:
                lines += [f"{_sum(lemma['equation'])} =", *_terms(lemma["cofactors"]), "    = 0, so"]
            else:
                squares = " ".join(
                    _sign(c) + " ".join([f"({_sum(X)})'", *M, f"({_sum(X)})"]) for c, X, M in lemma["squares"]
                ).removeprefix("+ ")
                lines += [
                    f"tr[{squares}] = tr of" if lemma["trace"] else f"{squares} =",
                    *_terms(lemma["cofactors"]),
                    "    = 0, and a sum of squares vanishes only if each of them does:",
                ]
            for conclusion in self._conclusions(lemma):
                lines.append(f"({number}) {_sum(conclusion)} = 0")
                number += 1
        for claim, proof in zip(self.data["claims"], self.data["cofactors"]):
            lines += [f"{_sum(claim)} =" + ("" if proof else " 0, term by term"), *_terms(proof)]
        return "\n".join([*lines, *([f"note: {self.witness['note']}"] if "note" in self.witness else [])])

    def _shown(self) -> set[str]:
        """The letters that occur in the assumptions used or in the claims."""
        used = [p for k, p in enumerate(self.data["assumptions"]) if k in self.used]
        return {x for p in [*used, *self.data["claims"]] for _, word in p for x in word}

    def _repr_latex_(self) -> str:
        spell = Typesetter(self.data.get("latex", {}))
        rows = [rf"({k})\quad & {spell.sum(p)} = 0" for k, p in enumerate(self.data["assumptions"]) if k in self.used]
        rows += [
            rf"& {spell.letter(x)} {'>' if kind == 'pd' else '≥'} 0"
            for x, kind in self.data.get("positive", {}).items()
        ]
        number = len(self.data["assumptions"])
        for lemma in self.lemmas:
            if "equation" in lemma:
                rows += [
                    f"& {spell.sum(lemma['equation'])} =",
                    *spell.terms(lemma["cofactors"]),
                    r"& \quad = 0, \text{ so}",
                ]
            else:
                squares = " ".join(
                    rf"{_latex_sign(c)} ({spell.sum(X)}){_TOP}{spell.word(M)}({spell.sum(X)})"
                    for c, X, M in lemma["squares"]
                ).removeprefix("+")
                rows.append(
                    rf"& \operatorname{{tr}}\bigl[{squares}\bigr] = \operatorname{{tr}}"
                    if lemma["trace"]
                    else f"& {squares} ="
                )
                rows += spell.terms(lemma["cofactors"])
                rows.append(r"& \quad = 0, \text{ and a sum of squares vanishes only if each of them does:}")
            for conclusion in self._conclusions(lemma):
                rows.append(rf"({number})\quad & {spell.sum(conclusion)} = 0")
                number += 1
        for claim, proof in zip(self.data["claims"], self.data["cofactors"]):
            rows += [f"& {spell.sum(claim)} =" + ("" if proof else " 0"), *spell.terms(proof)]
        return "$$\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}$$"


_TOP = r"^{\top}"


def _sign(c: str) -> str:
    size = "" if abs(Fraction(c)) == 1 else f"{abs(Fraction(c))} "
    return ("- " if Fraction(c) < 0 else "+ ") + size


def _sum(polynomial: list) -> str:
    return " ".join(_sign(c) + (" ".join(word) or "1") for c, word in polynomial).removeprefix("+ ")


def _terms(proof: list) -> list[str]:
    return [f"    {_sign(c)}{' '.join([*left, f'({k}){chr(39) * bool(t)}', *right])}" for c, left, k, t, right in proof]


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
        index = base[len(base.rstrip("0123456789")) :]
        base = base.removesuffix(index).removesuffix("_")
        base = base if len(base) == 1 else rf"\mathrm{{{base}}}"
        return self.special.get(name) or base + (f"_{{{index}}}" if index else "") + (_TOP if prime else "")

    def word(self, word: list) -> str:
        return r"\,".join(map(self.letter, word))

    def sum(self, polynomial: list) -> str:
        return " ".join(_latex_sign(c) + (self.word(word) or "I") for c, word in polynomial).removeprefix("+")

    def terms(self, proof: list) -> list[str]:
        return [
            rf"& \quad {_latex_sign(c)} {self.word(left)}\,({k}){_TOP * bool(t)}\,{self.word(right)}"
            for c, left, k, t, right in proof
        ]

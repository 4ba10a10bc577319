"""Certificates of identities between matrices of unknown size: data, display and check."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ngdsym.proof.checker import Refused, examine
from ngdsym.proof.example import exemplify
from ngdsym.proof.typeset import TOP, Typesetter, latex_sign, sign, text_sum, text_terms


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
        """Matrices that keep the assumptions, as `sizes`, and `matrices` as rows of fractions in text.

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
        """Letters, assumptions and claims, without the proof; compare it to know *what* was proved."""
        return {key: self.data[key] for key in ("letters", "positive", "assumptions", "claims") if key in self.data}

    def to_json(self) -> str:
        """One JSON object, byte-identical from run to run."""
        return json.dumps(self.data, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Read what `to_json` wrote. Nothing is trusted until `check`."""
        return cls(json.loads(text))

    def __repr__(self) -> str:
        claims = "; ".join(f"{text_sum(claim)} = 0" for claim in self.data["claims"])
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
        lines += [f"({k}) {text_sum(p)} = 0" for k, p in enumerate(self.data["assumptions"]) if k in self.used]
        lines += [
            f"{x} is positive {'definite' if kind == 'pd' else 'semidefinite'}"
            for x, kind in self.data.get("positive", {}).items()
        ]
        number = len(self.data["assumptions"])
        for lemma in self.lemmas:
            if "equation" in lemma:
                lines += [f"{text_sum(lemma['equation'])} =", *text_terms(lemma["cofactors"]), "    = 0, so"]
            else:
                squares = " ".join(
                    sign(c) + " ".join([f"({text_sum(X)})'", *M, f"({text_sum(X)})"]) for c, X, M in lemma["squares"]
                ).removeprefix("+ ")
                lines += [
                    f"tr[{squares}] = tr of" if lemma["trace"] else f"{squares} =",
                    *text_terms(lemma["cofactors"]),
                    "    = 0, and a sum of squares vanishes only if each of them does:",
                ]
            for conclusion in self._conclusions(lemma):
                lines.append(f"({number}) {text_sum(conclusion)} = 0")
                number += 1
        for claim, proof in zip(self.data["claims"], self.data["cofactors"]):
            lines += [f"{text_sum(claim)} =" + ("" if proof else " 0, term by term"), *text_terms(proof)]
        return "\n".join([*lines, *([f"note: {self.witness['note']}"] if "note" in self.witness else [])])

    def _shown(self) -> set[str]:
        """The letters that occur in the assumptions used or in the claims."""
        used = [p for k, p in enumerate(self.data["assumptions"]) if k in self.used]
        return {x for p in [*used, *self.data["claims"]] for _, word in p for x in word}

    def _repr_latex_(self) -> str:
        spell = Typesetter(self.data["letters"])
        rows = [rf"({k})\quad & {spell.sum(p)} = 0" for k, p in enumerate(self.data["assumptions"]) if k in self.used]
        rows += [
            rf"& {spell.letter(x)} {'>' if kind == 'pd' else '≥'} 0"
            for x, kind in self.data.get("positive", {}).items()
        ]
        number = len(self.data["assumptions"])
        for lemma in self.lemmas:
            if "equation" in lemma:
                rows += [
                    *spell.rows(lemma["equation"], "="),
                    *spell.terms(lemma["cofactors"]),
                    r"& \quad = 0, \text{ so}",
                ]
            else:
                squares = " ".join(
                    rf"{latex_sign(c)} ({spell.sum(X)}){TOP}{spell.word(M)}({spell.sum(X)})"
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
            rows += [*spell.rows(claim, "=" if proof else "= 0"), *spell.terms(proof)]
        return "$$\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}$$"

"""Ways to forge a certificate, each a change of its data."""

from __future__ import annotations

import json
from collections.abc import Callable


def forgeries() -> dict[str, Callable[[dict], object]]:
    return {
        "coefficient": lambda d: d["cofactors"][0][0].__setitem__(0, "7"),
        "sign": lambda d: d["cofactors"][0][0].__setitem__(0, str(-int(d["cofactors"][0][0][0]))),
        "dropped term": lambda d: d["cofactors"][1].pop(),
        "doubled term": lambda d: d["cofactors"][1].append(d["cofactors"][1][0]),
        "dropped proof": lambda d: d["cofactors"].pop(),
        "no claims": lambda d: d.update(claims=[], cofactors=[]),
        "empty claim": lambda d: d.update(claims=[[]], cofactors=[[]]),
        "other claim": lambda d: d["claims"][0][0].__setitem__(0, "2"),
        "other assumption": lambda d: d["cofactors"][0][0].__setitem__(2, 1),
        "assumption out of range": lambda d: d["cofactors"][0][0].__setitem__(2, 99),
        "negative assumption": lambda d: d["cofactors"][0][0].__setitem__(2, d["cofactors"][0][0][2] - 4),
        "boolean assumption": lambda d: d["cofactors"][0][0].__setitem__(2, True),
        "transposed": lambda d: d["cofactors"][0][0].__setitem__(3, 1 - d["cofactors"][0][0][3]),
        "undeclared letter": lambda d: d["cofactors"][0][0].__setitem__(1, ["Q"]),
        "ill-typed left": lambda d: d["cofactors"][0][0].__setitem__(1, ["A", "A"]),
        "ill-typed right": lambda d: d["cofactors"][0][0].__setitem__(4, ["X", "X"]),
        "type of a letter": lambda d: d["letters"]["X"].__setitem__(0, "m"),
        "letter posing as symmetric": lambda d: d["letters"]["A"].__setitem__(2, "A"),
        "letter transposed to another": lambda d: d["letters"]["A"].__setitem__(2, "X"),
        "removed letter": lambda d: d["letters"].pop("X"),
        "coefficient no number": lambda d: d["cofactors"][0][0].__setitem__(0, "x"),
        "division by zero": lambda d: d["cofactors"][0][0].__setitem__(0, "1/0"),
        "letter that reads as a product": lambda d: _rename(d, "A", "X X"),
        "letter that reads as a sum": lambda d: _rename(d, "A", "X+X"),
        "letter that reads as a number": lambda d: _rename(d, "A", "1"),
        "example of another shape": lambda d: d["witness"]["matrices"]["A"][0].append("1"),
        "example that breaks an assumption": lambda d: d["witness"]["matrices"]["X"][0].__setitem__(0, "9"),
        "example of no size": lambda d: d["witness"]["sizes"].update({"2*n": 1}),
        "letter that reads as a difference of inverses": lambda d: _rename(d, "A", "(X)-(X)⁺"),
        "letter that reads as a product of inverses": lambda d: _rename(d, "A", "(X)(X)⁺"),
        "letter that reads as a square": lambda d: _rename(d, "A", "X²"),
        "letter that reads as a transpose": lambda d: _rename(d, "A", "Xᵀ"),
        "letter that reads as an equation": lambda d: _rename(d, "A", "(X=0)⁺"),
        "missing part": lambda d: d.pop("assumptions"),
        "no list": lambda d: d.update(cofactors=None),
    }


def _rename(data: dict, old: str, new: str) -> None:
    """Call a letter otherwise throughout."""
    text = json.dumps(data)
    for prime in ("", "'"):
        text = text.replace(f'"{old}{prime}"', f'"{new}{prime}"')
    data |= json.loads(text)


SQUARE = dict(types={"A": ("m", "n"), "B": ("n", "k"), "P": ("m", "m")}, positive={"P": "pd"})


def positivity_forgeries() -> dict[str, Callable[[dict], object]]:
    def lemma(d: dict) -> dict:
        return d["lemmas"][0]

    return {
        "negative square": lambda d: lemma(d)["squares"][0].__setitem__(0, "-1"),
        "zero times a square": lambda d: (lemma(d)["squares"][0].__setitem__(0, "0"), lemma(d).update(cofactors=[])),
        "semidefinite weight": lambda d: d["positive"].update(P="psd"),
        "indefinite weight": lambda d: d["positive"].update(P="symmetric"),
        "weight that nobody declared": lambda d: d.pop("positive"),
        "no weight": lambda d: lemma(d)["squares"][0].__setitem__(2, []),
        "two weights": lambda d: lemma(d)["squares"][0].__setitem__(2, ["P", "P"]),
        "squares and an equation": lambda d: lemma(d).update(equation=[["1", ["A"]]]),
        "other root": lambda d: lemma(d)["squares"][0].__setitem__(1, [["1", ["B"]]]),
        "sum that does not vanish": lambda d: lemma(d).update(cofactors=[]),
        "no squares": lambda d: lemma(d).update(squares=[], cofactors=[]),
        "in trace without squares": lambda d: lemma(d).update(squares=[], cofactors=[], trace=True),
        "no lemma": lambda d: d.update(lemmas=[]),
        "example that is not positive": lambda d: d["witness"]["matrices"].update(
            {x: [["0" for _ in row] for row in d["witness"]["matrices"][x]] for x in "PAB"}
        ),
        "lemma that uses itself": lambda d: lemma(d)["cofactors"][0].__setitem__(2, 1),
        "equation out of thin air": lambda d: d.update(lemmas=[{"equation": [["1", ["A", "B"]]], "cofactors": []}]),
    }

"""Textbook facts about matrices, and falsehoods that look like them: the prover's public test set.

Each entry is `(assumptions, claim, letters)`, the arguments of `prove` and `refute`. Sources: Penrose, *A
generalized inverse for matrices* (1955); Greville, *Note on the generalized inverse of a matrix product*
(1966); Ben-Israel and Greville, *Generalized Inverses* (2003).

Examples
--------
>>> from ngdsym import prove, refute
>>> assumptions, claim, letters = FACTS["pseudo-inverse is unique"]
>>> prove(assumptions, claim, **letters).check()
True
>>> assumptions, claim, letters = FALSEHOODS["reverse-order law without conditions"]
>>> refute(assumptions, claim, **letters).check()
True
"""

from __future__ import annotations

Entry = tuple[list[str], str | list[str], dict]


def penrose(A: str, X: str) -> list[str]:
    """The four Penrose equations in text."""
    return [f"{A} {X} {A} = {A}", f"{X} {A} {X} = {X}", f"({A} {X})' = {A} {X}", f"({X} {A})' = {X} {A}"]


GREVILLE = ["X A B B' A' = B B' A'", "B Y A' A B = A' A B"]
PRODUCT = dict(types={"A": ("m", "n"), "B": ("n", "k"), "Z": ("k", "m")}, pinvs={"A": "X", "B": "Y"})
PROJECTOR = ["E = A' P A", "A K A = A", "K' A' P = P A K"]
METRIC = dict(types={"A": ("o", "n"), "P": ("o", "o"), "E Y X": ("n", "n"), "K": ("n", "o")},
              symmetric={"P", "E"}, inverses={"P": "Pi"})
NESTED = dict(types={"A": ("o", "n"), "C": ("o", "m"), "V": ("n", "m"), "P": ("o", "o"), "H": ("n", "o"),
                     "K": ("m", "o")}, symmetric={"P"}, inverses={"P": "Pi"})

FACTS: dict[str, Entry] = {
    "pseudo-inverse is unique": (
        penrose("A", "X") + penrose("A", "Y"), "X = Y", dict(types={"A": ("m", "n"), "X Y": ("n", "m")})),
    "pseudo-inverse is an involution": (
        penrose("X", "Z"), "Z = A", dict(types={"A Z": ("m", "n")}, pinvs={"A": "X"})),
    "pseudo-inverse of the transpose": (
        penrose("A'", "Z"), "Z = X'", dict(types={"A Z": ("m", "n")}, pinvs={"A": "X"})),
    "pseudo-inverse of A'A": (
        penrose("(A' A)", "Z"), "Z = X X'", dict(types={"A": ("m", "n"), "Z": ("n", "n")}, pinvs={"A": "X"})),
    "pseudo-inverse through A'A": (
        ["G = A' A"], ["X = Z A'", "A' A X = A'"],
        dict(types={"A": ("m", "n"), "G": ("n", "n")}, symmetric={"G"}, pinvs={"A": "X", "G": "Z"})),
    "reverse-order law under Greville's conditions": (GREVILLE + penrose("(A B)", "Z"), "Z = Y X", PRODUCT),
    "full-rank factorisation": (["X A = 1", "B Y = 1"] + penrose("(A B)", "Z"), "Z = Y X", PRODUCT),
    "pseudo-inverse of A A'": (
        penrose("(A A')", "Z"), "Z = X' X", dict(types={"A": ("m", "n"), "Z": ("m", "m")}, pinvs={"A": "X"})),
    "pseudo-inverse of orthonormal columns": (
        ["U' U = 1"] + penrose("U", "Z"), "Z = U'", dict(types={"U": ("m", "n"), "Z": ("n", "m")})),
    "Woodbury": (
        ["D = c + V a U", "M = A + U C V"], ["M (a - a U d V a) = 1", "(a - a U d V a) M = 1"],
        dict(types={"A M": ("n", "n"), "U": ("n", "k"), "V": ("k", "n"), "C D": ("k", "k")},
             inverses={"A": "a", "C": "c", "D": "d"})),
    "push-through": (
        ["S = 1 + U V", "T = 1 + V U"], "s U = U t",
        dict(types={"U": ("n", "k"), "V": ("k", "n"), "S": ("n", "n"), "T": ("k", "k")},
             inverses={"S": "s", "T": "t"})),
    "every generalized inverse gives the same flow": (
        ["F = J' H J", "F X F = F", "F Y F = F", "J K J = J", "K' J' H = H J K"],
        ["J X J' = J Y J'", "J X J' H = J K"],
        dict(types={"J": ("N", "p"), "H": ("N", "N"), "F X Y": ("p", "p"), "K": ("p", "N")},
             symmetric={"H", "F"}, inverses={"H": "h"})),
    "layer projector fixes its range": (
        PROJECTOR + ["E Y E = E"], ["A Y A' P A = A", "A Y A' P = A K"], METRIC),
    "layer projector is idempotent and self-adjoint": (
        PROJECTOR + ["E Y E = E"], ["A Y A' P A Y A' P = A Y A' P", "P A Y A' P = P A Y' A' P"], METRIC),
    "layer projectors are nested": (
        ["C = A V", "A H A = A", "C K C = C", "H' A' P = P A H", "K' C' P = P C K"],
        ["A H C K = C K", "C K A H = C K"], NESTED),
}

FALSEHOODS: dict[str, Entry] = {
    "one-sided inverse": (["A X = 1"], "X A = 1", dict(types={"A": ("m", "n"), "X": ("n", "m")})),
    "reverse-order law without conditions": (penrose("(A B)", "Z"), "Z = Y X", PRODUCT),
    "reverse-order law with one condition": (GREVILLE[:1] + penrose("(A B)", "Z"), "Z = Y X", PRODUCT),
    "generalized inverse is unique": (["A X A = A", "A Y A = A"], "X = Y",
                                      dict(types={"A": ("m", "n"), "X Y": ("n", "m")})),
    "Penrose without symmetry": (["A X A = A", "X A X = X", "A Y A = A", "Y A Y = Y"], "X = Y",
                                 dict(types={"A": ("m", "n"), "X Y": ("n", "m")})),
    "projector in the wrong metric": (
        ["E = A' A", "E Y E = E", "A K A = A", "K' A' P = P A K"], "A Y A' P = A K", METRIC),
}

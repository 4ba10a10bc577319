"""Operator identities from papers and textbooks, each with its source and a false twin: the prover's public test set.

A twin differs from its identity in one place, the claim or the list of hypotheses, and `refute` finds matrices
that break it. `python -m ngdsym bench identities` times both."""

from __future__ import annotations

from dataclasses import dataclass, field

from ngdsym.theorems.textbook import penrose


@dataclass(frozen=True)
class Identity:
    """`given` implies `claim`; with `without` (numbers of `given` left out) or `twin` (another claim) it fails.

    `letters` are the keywords of `prove` that declare the letters.
    """

    source: str
    letters: dict
    given: list[str]
    claim: list[str]
    twin: list[str] = field(default_factory=list)
    without: tuple[int, ...] = ()

    @property
    def statement(self) -> tuple[list[str], list[str], dict]:
        """Hypotheses, claims, letters."""
        return self.given, self.claim, self.letters

    @property
    def false_twin(self) -> tuple[list[str], list[str], dict]:
        """The same for the twin."""
        given = [hypothesis for k, hypothesis in enumerate(self.given) if k not in self.without]
        return given, self.twin or self.claim, self.letters


def letters(table: str, **properties: object) -> dict:
    """`letters("A B: m n, X: n m")` declares A and B as m × n and X as n × m."""
    types = {}
    for entry in table.split(","):
        names, kind = entry.split(":")
        types[names.strip()] = tuple(kind.split())
    return {"types": types, **properties}


PRODUCT = letters("A: m n, B: n k, Z: k m", pinvs={"A": "X", "B": "Y"})
"""X = A⁺ and Y = B⁺; where Z is (A B)⁺, its four equations are among the hypotheses."""
PINV = letters("A: m n", pinvs={"A": "X"})
RECTANGULAR = letters("A: m n, X Y: n m")
SQUARE = letters("A B C D X Y: n n")
TRIPLE = letters("A: m n, B: n k, C: k l, P: n k, Q: k n, E F: k k, G H: n n",
                 pinvs={"A": "X", "B": "Y", "C": "V"})
HARTWIG = ["P = X A B C V", "Q = C V Y X A"]
DRAZIN = ["A X = X A", "X A X = X", "A A X = A"]
"""X is the group inverse of A."""


def drazin(A: str, X: str, power: str) -> list[str]:
    """X is the Drazin inverse of A, whose index is the number of factors in `power`."""
    return [f"{A} {X} = {X} {A}", f"{X} {A} {X} = {X}", f"{power} {A} {X} = {power}"]


PENROSE_55 = "Penrose, A generalized inverse for matrices, 1955"
BEN_ISRAEL = "Ben-Israel and Greville, Generalized Inverses, 2003"
GREVILLE_66 = "Greville, Note on the generalized inverse of a matrix product, 1966"
DJORDJEVIC = "Djordjević and Dinčić, Reverse order law for the Moore–Penrose inverse, 2010"
HARTWIG_86 = "Hartwig, The reverse order law revisited, 1986"
CAMPBELL = "Campbell and Meyer, Generalized Inverses of Linear Transformations, 1979"

IDENTITIES: dict[str, Identity] = {
    # Moore–Penrose inverse
    "pseudo-inverse is unique": Identity(
        PENROSE_55, RECTANGULAR, penrose("A", "X") + penrose("A", "Y"), ["X = Y"], without=(2,)),
    "pseudo-inverse of the pseudo-inverse": Identity(
        PENROSE_55, letters("A Z: m n", pinvs={"A": "X"}), penrose("X", "Z"), ["Z = A"], without=(3,)),
    "pseudo-inverse of the transpose": Identity(
        PENROSE_55, letters("A Z: m n", pinvs={"A": "X"}), penrose("A'", "Z"), ["Z = X'"], twin=["Z = A"]),
    "pseudo-inverse of A'A": Identity(
        PENROSE_55, letters("A: m n, Z: n n", pinvs={"A": "X"}), penrose("(A' A)", "Z"), ["Z = X X'"],
        twin=["Z = X A"]),
    "pseudo-inverse of A A'": Identity(
        PENROSE_55, letters("A: m n, Z: m m", pinvs={"A": "X"}), penrose("(A A')", "Z"), ["Z = X' X"],
        twin=["Z = A X"]),
    "A⁺ = (A'A)⁺A'": Identity(
        PENROSE_55, letters("A: m n, G: n n", symmetric=["G"], pinvs={"A": "X", "G": "Z"}), ["G = A' A"],
        ["X = Z A'"], without=(0,)),
    "A'AA⁺ = A'": Identity(PENROSE_55, PINV, [], ["A' A X = A'"], twin=["X' X A = A"]),
    "A⁺A⁺'A' = A⁺": Identity(PENROSE_55, PINV, [], ["X X' A' = X"], twin=["X X' A' = A'"]),
    "AA⁺ is an orthogonal projector": Identity(
        PENROSE_55, PINV, [], ["A X A X = A X", "X' A' = A X"], twin=["A X = 1"]),
    "solutions of A X B = C": Identity(
        PENROSE_55, letters("A: m n, B: k l, C: m l, V: n k", pinvs={"A": "X", "B": "Y"}), ["A V B = C"],
        ["A X C Y B = C"], without=(0,)),
    "orthonormal columns": Identity(
        BEN_ISRAEL, letters("U: m n, Z: n m"), ["U' U = 1", *penrose("U", "Z")], ["Z = U'"], without=(0,)),
    "full column rank": Identity(
        BEN_ISRAEL, letters("A: m n, G: n n, Z: n m", symmetric=["G"], inverses={"G": "g"}),
        ["G = A' A", *penrose("A", "Z")], ["Z = g A'", "Z A = 1"], twin=["A Z = 1"]),
    "full-rank factorisation": Identity(
        "MacDuffee; " + BEN_ISRAEL, PRODUCT, ["X A = 1", "B Y = 1", *penrose("(A B)", "Z")], ["Z = Y X"], without=(0,)),
    "symmetric: A⁺ commutes with A": Identity(
        BEN_ISRAEL, letters("A: n n", symmetric=["A"], pinvs={"A": "X"}), [], ["A X = X A"], twin=["A X = 1"]),
    "normal: A⁺ commutes with A": Identity(
        BEN_ISRAEL, letters("A: n n", pinvs={"A": "X"}), ["A A' = A' A"], ["A X = X A"], without=(0,)),
    "normal: A⁺ is normal": Identity(
        BEN_ISRAEL, letters("A: n n", pinvs={"A": "X"}), ["A A' = A' A"], ["X X' = X' X"], without=(0,)),
    "A X = A, X symmetric idempotent": Identity(
        BEN_ISRAEL, letters("A: m n, P: n n", symmetric=["P"], pinvs={"A": "X"}), ["P P = P", "A P = A"],
        ["P X = X", "X A P = X A"], without=(1,)),
    "least squares: normal equations": Identity(
        "Gauss; " + BEN_ISRAEL, letters("A: m n, b: m k, v: n k", pinvs={"A": "X"}), ["A' A v = A' b"],
        ["A v = A X b"], twin=["v = X b"]),
    "star cancellation": Identity(
        PENROSE_55, letters("A: m n, B C: n k"), ["A' A B = A' A C"], ["A B = A C"], twin=["B = C"]),
    # reverse-order laws
    "Greville: sufficient": Identity(
        GREVILLE_66, PRODUCT, ["X A B B' A' = B B' A'", "B Y A' A B = A' A B", *penrose("(A B)", "Z")], ["Z = Y X"],
        without=(0,)),
    "Greville: necessary": Identity(
        GREVILLE_66, PRODUCT, penrose("(A B)", "(Y X)"), ["X A B B' A' = B B' A'", "B Y A' A B = A' A B"],
        without=(2,)),
    "Djordjević–Dinčić: {1,2,3} sufficient": Identity(
        DJORDJEVIC, PRODUCT, ["B Y A' A B = A' A B"], penrose("(A B)", "(Y X)")[:3], without=(0,)),
    "Djordjević–Dinčić: {1,2,3} necessary": Identity(
        DJORDJEVIC, PRODUCT, penrose("(A B)", "(Y X)")[:3], ["B Y A' A B = A' A B"], without=(2,)),
    "Djordjević–Dinčić: one projector": Identity(
        DJORDJEVIC, PRODUCT, ["A B Y X = A B Z", *penrose("(A B)", "Z")], ["B Y A' A B = A' A B"], without=(0,)),
    "(AB)⁺ = (A⁺AB)⁺(ABB⁺)⁺": Identity(
        "Cline, Note on the generalized inverse of the product of matrices, 1964",
        letters("A: m n, B C: n k, D: m n, Z: k m", pinvs={"A": "X", "C": "U", "D": "V"}),
        ["C = X A B", "D = A C U", *penrose("(A B)", "Z")], ["Z = U V"], without=(1,)),
    "commuting symmetric matrices": Identity(
        BEN_ISRAEL, letters("A B Z: n n", symmetric=["A", "B"], pinvs={"A": "X", "B": "Y"}),
        ["A B = B A", *penrose("(A B)", "Z")], ["Z = Y X"], without=(0,)),
    "commuting EP matrices": Identity(
        "Katz, Theorems on products of EPr matrices II, 1970", letters("A B Z: n n", pinvs={"A": "X", "B": "Y"}),
        ["A X = X A", "B Y = Y B", "A B = B A", *penrose("(A B)", "Z")], ["A B Z = Z A B", "Z = Y X"], without=(0,)),
    "Hartwig: triple product, sufficient": Identity(
        HARTWIG_86, TRIPLE, HARTWIG + ["P Q P = P", "Q P Q = Q", "(A' A P Q)' = A' A P Q", "(Q P C C')' = Q P C C'"],
        penrose("(A B C)", "(V Y X)"), without=(4,)),
    "Hartwig: triple product, necessary": Identity(
        HARTWIG_86, TRIPLE, HARTWIG + penrose("(A B C)", "(V Y X)"),
        ["P Q P = P", "Q P Q = Q", "(A' A P Q)' = A' A P Q", "(Q P C C')' = Q P C C'"], without=(4,)),
    "Hartwig: triple product, with ranges": Identity(
        HARTWIG_86, TRIPLE, HARTWIG
        + ["P Q P Q = P Q", "A' A P = Q' E", "Q' = A' A P F", "C C' P' = Q G", "Q = C C' P' H"],
        penrose("(A B C)", "(V Y X)"), without=(2,)),
    # projectors and partial isometries
    "product of partial isometries: sufficient": Identity(
        "Erdelyi, On partial isometries in finite-dimensional Euclidean spaces, 1966", letters("A: m n, B: n k"),
        ["A A' A = A", "B B' B = B", "A' A B B' = B B' A' A"], ["A B B' A' A B = A B"], without=(2,)),
    "product of partial isometries: necessary": Identity(
        "Erdelyi, On partial isometries in finite-dimensional Euclidean spaces, 1966", letters("A: m n, B: n k"),
        ["A A' A = A", "B B' B = B", "A B B' A' A B = A B"], ["A' A B B' = B B' A' A"], without=(2,)),
    "idempotent product of projectors": Identity(
        BEN_ISRAEL, letters("P Q: n n", symmetric=["P", "Q"]), ["P P = P", "Q Q = Q", "P Q P Q = P Q"], ["P Q = Q P"],
        without=(2,)),
    "sum of projectors is a projector": Identity(
        "Halmos, Finite-Dimensional Vector Spaces", letters("P Q: n n", symmetric=["P", "Q"]),
        ["P P = P", "Q Q = Q", "(P + Q) (P + Q) = P + Q"], ["P Q = 0"], without=(2,)),
    "difference of projectors is a projector": Identity(
        "Halmos, Finite-Dimensional Vector Spaces", letters("P Q: n n", symmetric=["P", "Q"]),
        ["P P = P", "Q Q = Q", "(P - Q) (P - Q) = P - Q"], ["P Q = Q"], without=(2,)),
    "normal idempotent is symmetric": Identity(
        "Halmos, Finite-Dimensional Vector Spaces", letters("A: n n"), ["A A = A", "A A' = A' A"], ["A = A'"],
        without=(1,)),
    "normal nilpotent is zero": Identity(
        "Halmos, Finite-Dimensional Vector Spaces", letters("A: n n"), ["A A' = A' A", "A A A = 0"], ["A = 0"],
        without=(0,)),
    "A² = A'A implies A = A'": Identity(
        "Halmos, A Hilbert Space Problem Book (finite dimension)", letters("A: n n"), ["A A = A' A"], ["A = A'"],
        twin=["A A = A"]),
    "isometry of a finite space is onto": Identity(
        "Halmos, Finite-Dimensional Vector Spaces", letters("U: n n"), ["U' U = 1"], ["U U' = 1"], without=(0,)),
    "range inclusion makes EP": Identity(
        CAMPBELL, letters("A: n n", pinvs={"A": "X"}), ["X A A = A"], ["A X = X A"], without=(0,)),
    "Anderson–Duffin: on the intersection": Identity(
        "Anderson and Duffin, Series and parallel addition of matrices, 1969",
        letters("P Q S: n n", symmetric=["P", "Q", "S"], pinvs={"S": "Z"}),
        ["P P = P", "Q Q = Q", "S = P + Q"], ["P Z Q = Q Z P", "P P Z Q = P Z Q", "Q P Z Q = P Z Q"], without=(0,)),
    "parallel sum is symmetric": Identity(
        "Anderson and Duffin, Series and parallel addition of matrices, 1969",
        letters("A B S: n n", symmetric=["S"], positive={"A": "psd", "B": "psd"}, pinvs={"S": "Z"}), ["S = A + B"],
        ["A Z B = B Z A"], without=(0,)),
    "parallel sum of invertible matrices": Identity(
        "Anderson and Duffin, Series and parallel addition of matrices, 1969",
        letters("A B S: n n", inverses={"A": "a", "B": "b", "S": "s"}), ["S = A + B"],
        ["(a + b) A s B = 1"], without=(0,)),
    # inverses
    "Woodbury": Identity(
        "Woodbury, Inverting modified matrices, 1950",
        letters("A M: n n, U: n k, V: k n, C D: k k", inverses={"A": "a", "C": "c", "D": "d", "M": "N"}),
        ["D = c + V a U", "M = A + U C V"], ["N = a - a U d V a"], without=(0,)),
    "push-through": Identity(
        "Henderson and Searle, On deriving the inverse of a sum of matrices, 1981",
        letters("U: n k, V: k n, S: n n, T: k k", inverses={"S": "s", "T": "t"}), ["S = 1 + U V", "T = 1 + V U"],
        ["s U = U t"], without=(1,)),
    "Hua": Identity(
        "Hua, Some properties of a sfield, 1949",
        letters("A B C D E: n n", inverses={"A": "a", "B": "b", "C": "c", "D": "d", "E": "e"}),
        ["C = b - A", "D = a + c"], ["(A - A B A) D = 1"], twin=["(A + A B A) D = 1"]),
    "Jacobson: inverse of 1 − BA": Identity(
        "Jacobson; Halmos, Does mathematics have elements?, 1981",
        letters("A: m n, B: n m, C: m m"), ["(1 - A B) C = 1", "C (1 - A B) = 1"],
        ["(1 + B C A) (1 - B A) = 1", "(1 - B A) (1 + B C A) = 1"], without=(0, 1)),
    "Jacobson: generalized inverse of 1 − BA": Identity(
        "Barnes, Common operator properties of the linear operators RS and SR, 1998",
        letters("A: m n, B: n m, C: m m"), ["(1 - A B) C (1 - A B) = 1 - A B"],
        ["(1 - B A) (1 + B C A) (1 - B A) = 1 - B A"], without=(0,)),
    "difference of inverses": Identity(
        "textbook", letters("A B: n n", inverses={"A": "a", "B": "b"}), [], ["a - b = a (B - A) b"],
        twin=["a - b = a (A - B) b"]),
    "Banachiewicz": Identity(
        "Banachiewicz, 1937; Zhang, The Schur Complement and Its Applications, 2005",
        letters("A: n n, B: n k, C: k n, D S: k k", inverses={"A": "a", "S": "s"}), ["S = D - C a B"],
        ["A (a + a B s C a) - B s C a = 1", "B s - A a B s = 0", "C (a + a B s C a) - D s C a = 0",
         "D s - C a B s = 1"], without=(0,)),
    "Duncan: the other Schur complement": Identity(
        "Duncan, Some devices for the solution of large sets of simultaneous linear equations, 1944",
        letters("A R: n n, B: n k, C: k n, D S: k k", inverses={"A": "a", "D": "d", "R": "r", "S": "s"}),
        ["S = D - C a B", "R = A - B d C"], ["r B d = a B s"], without=(0,)),
    "one-sided inverses agree": Identity(
        "textbook", RECTANGULAR, ["X A = 1", "A Y = 1"], ["X = Y"], without=(1,)),
    "Kaplansky: one left inverse": Identity(
        "Kaplansky; textbook", letters("A: m n, X Y: n m"), ["A X = 1", "Y A = 1", "A Y = 1"], ["X = Y"],
        without=(1, 2)),
    "invertible product": Identity(
        "textbook", letters("A B C: n n", inverses={"C": "c"}), ["C = A B", "A B = B A"],
        ["A B c = 1", "B c A = 1"], without=(0, 1)),
    "commutes with the inverse": Identity(
        "textbook", letters("A B: n n", inverses={"A": "a"}), ["A B = B A"], ["a B = B a"], without=(0,)),
    # group and Drazin inverses
    "group inverse is unique": Identity(
        "Erdelyi, On the matrix equation Ax = λBx, 1967", SQUARE,
        DRAZIN + ["A Y = Y A", "Y A Y = Y", "A A Y = A"], ["X = Y"], without=(3,)),
    "Drazin inverse is unique": Identity(
        "Drazin, Pseudo-inverses in associative rings and semigroups, 1958", SQUARE,
        drazin("A", "X", "A A") + drazin("A", "Y", "A A"), ["X = Y"], without=(3,)),
    "Drazin inverse is in the bicommutant": Identity(
        "Drazin, Pseudo-inverses in associative rings and semigroups, 1958", SQUARE,
        drazin("A", "X", "A A") + ["A B = B A"], ["X B = B X"], without=(3,)),
    "Cline's formula": Identity(
        "Cline, An application of representation for the generalized inverse of a matrix, 1965",
        letters("A: m n, B: n m, X: m m"), drazin("(A B)", "X", "A B"),
        ["B X X A B A = B A B X X A", "B X X A B A B X X A = B X X A", "B A B A B X X A = B A"][:2]
        + ["B A B A B A B X X A = B A B A"], without=(0,)),
    "group inverse of a product of commuting matrices": Identity(
        CAMPBELL, SQUARE, DRAZIN + ["B Y = Y B", "Y B Y = Y", "B B Y = B", "A B = B A"],
        ["A B X Y = X Y A B", "X Y A B X Y = X Y", "A B A B X Y = A B"], without=(6,)),
    "group inverse of the transpose": Identity(
        CAMPBELL, SQUARE, DRAZIN + ["A' Y = Y A'", "Y A' Y = Y", "A' A' Y = A'"], ["Y = X'"], without=(0,)),
    "EP: group inverse is A⁺": Identity(
        CAMPBELL, letters("A Y: n n", pinvs={"A": "X"}), ["A X = X A", "A Y = Y A", "Y A Y = Y", "A A Y = A"],
        ["X = Y"], without=(0,)),
    "core inverse is unique": Identity(
        "Baksalary and Trenkler, Core inverse of matrices, 2010", SQUARE,
        ["A X A = A", "X A A = A", "A X X = X", "X' A' = A X", "A Y A = A", "Y A A = A", "A Y Y = Y", "Y' A' = A Y"],
        ["X = Y"], without=(3,)),
    # weighted and constrained inverses
    "weighted pseudo-inverse is unique": Identity(
        "Chipman, 1964; " + BEN_ISRAEL,
        letters("A: m n, X Y: n m, M: m m, N: n n", positive={"M": "pd", "N": "pd"}, inverses={"M": "W", "N": "V"}),
        ["A X A = A", "X A X = X", "X' A' M = M A X", "A' X' N = N X A",
         "A Y A = A", "Y A Y = Y", "Y' A' M = M A Y", "A' Y' N = N Y A"], ["X = Y"], without=(2,)),
    "weighted star cancellation": Identity(
        BEN_ISRAEL, letters("A: m n, B: n k, M: m m", positive={"M": "pd"}), ["A' M A B = 0"], ["A B = 0"],
        twin=["B = 0"]),
    "weighted least squares": Identity(
        "Aitken, 1935; " + BEN_ISRAEL, letters("A: m n, X: n m, b: m k, v: n k, M: m m", positive={"M": "pd"}),
        ["A X A = A", "X' A' M = M A X", "A' M A v = A' M b"], ["A v = A X b"], without=(1,)),
    "Bott–Duffin inverse": Identity(
        "Bott and Duffin, On the algebra of networks, 1953",
        letters("A P T: n n", symmetric=["P"], inverses={"T": "t"}), ["P P = P", "T = A P + 1 - P"],
        ["P A P t = P", "P t P = P t"], without=(0,)),
    "generalized inverses project on one range": Identity(
        BEN_ISRAEL, RECTANGULAR, ["A X A = A", "A Y A = A"], ["A X A Y = A Y"], twin=["A X = A Y"]),
    "{1,3}-inverses give one projector": Identity(
        BEN_ISRAEL, RECTANGULAR, ["A X A = A", "X' A' = A X", "A Y A = A", "Y' A' = A Y"], ["A X = A Y"], without=(1,)),
    "Urquhart": Identity(
        "Urquhart, Computation of generalized inverse matrices, 1968; " + BEN_ISRAEL,
        letters("A: m n, G: n n, H: m m, X: n m", pinvs={"A": "Z"}),
        ["A' A G A' A = A' A", "A A' H A A' = A A'"], ["A' H A G A' = Z"], without=(0,)),
    # equations, orders, sums of squares
    "Roth: A X − Y B = C is solvable": Identity(
        "Roth, 1952; Baksalary and Kala, The matrix equation AX − YB = C, 1979",
        letters("A: m n, B: k l, C: m l, R: n l, S: m k", pinvs={"A": "X", "B": "Y"}), ["A R - S B = C"],
        ["(1 - A X) C (1 - Y B) = 0"], without=(0,)),
    "Baksalary–Kala: the solution": Identity(
        "Baksalary and Kala, The matrix equation AX − YB = C, 1979",
        letters("A: m n, B: k l, C: m l", pinvs={"A": "X", "B": "Y"}), ["(1 - A X) C (1 - Y B) = 0"],
        ["A X C + (1 - A X) C Y B = C"], without=(0,)),
    "Mitra: common solution of A X = C, X B = D": Identity(
        "Mitra, The matrix equations AX = C, XB = D, 1984",
        letters("A: m n, B: k l, C: m k, D: n l", pinvs={"A": "X", "B": "Y"}),
        ["A X C = C", "D Y B = D", "A D = C B"],
        ["A (X C + D Y - X A D Y) = C", "(X C + D Y - X A D Y) B = D"], without=(2,)),
    "star order is antisymmetric": Identity(
        "Drazin, Natural structures on semigroups with involution, 1978", letters("A B: m n"),
        ["A' A = A' B", "A A' = B A'", "B' B = B' A", "B B' = A B'"], ["A = B"], without=(2, 3)),
    "star order is transitive": Identity(
        "Drazin, Natural structures on semigroups with involution, 1978", letters("A B C: m n"),
        ["A' A = A' B", "A A' = B A'", "B' B = B' C", "B B' = C B'"], ["A' A = A' C", "A A' = C A'"], without=(2,)),
    "star order and the pseudo-inverse": Identity(
        "Hartwig and Styan, On some characterizations of the star partial ordering, 1986",
        letters("A B: m n", pinvs={"A": "X", "B": "Y"}), ["A' A = A' B", "A A' = B A'"],
        ["X A = X B", "A X = B X"], without=(0,)),
    "minus order is antisymmetric": Identity(
        "Hartwig, How to partially order regular elements, 1980", letters("A B: m n, X Y: n m"),
        ["A X A = A", "X A = X B", "A X = B X", "B Y B = B", "Y B = Y A", "B Y = A Y"], ["A = B"], without=(4, 5)),
    "sum of squares": Identity(
        "Halmos, Finite-Dimensional Vector Spaces", letters("A: m n, B: k n"), ["A' A + B' B = 0"], ["A = 0", "B = 0"],
        twin=["A' A + B' B = 1"]),
    "Douglas: range inclusion": Identity(
        "Douglas, On majorization, factorization, and range inclusion of operators on Hilbert space, 1966",
        letters("A: m n, B: m k, C: m l", pinvs={"B": "Y"}), ["A A' + C C' = B B'"], ["A = B Y A"], without=(0,)),
    "kernel of A'A + B'B": Identity(
        BEN_ISRAEL, letters("A: m n, B: k n, V: n l"), ["A' A V + B' B V = 0"], ["A V = 0", "B V = 0"], twin=["V = 0"]),
    "skew nilpotent is zero": Identity(
        "textbook", letters("A: n n"), ["A' = 0 - A", "A A = 0"], ["A = 0"], without=(0,)),
    "contractive idempotent is symmetric": Identity(
        "Halmos, A Hilbert Space Problem Book", letters("A C: n n"), ["A A = A", "A' A + C' C = 1"], ["A = A'"],
        without=(1,)),
    "Jacobi": Identity(
        "Jacobi", letters("A B C D E F: n n"), ["D = B C - C B", "E = C A - A C", "F = A B - B A"],
        ["A D - D A + B E - E B + C F - F C = 0"], without=(2,)),
}

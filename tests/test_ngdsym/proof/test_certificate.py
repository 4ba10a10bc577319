"""The checker refuses every forgery, and trusts nothing but the standard library."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import sys
from pathlib import Path

import pytest

from ngdsym import prove
from ngdsym.proof import checker as module
from ngdsym.proof.certificate import Certificate
from ngdsym.proof.checker import examine
from ngdsym.proof.typeset import Typesetter
from support.forgeries import SQUARE, _rename, forgeries, positivity_forgeries


@pytest.fixture
def proof() -> Certificate:
    return prove(
        ["A X A = A", "X A X = X", "X' A' = A X", "A' X' = X A"],
        ["A' A X = A'", "X X' A' = X"],
        types={"A": ("m", "n"), "X": ("n", "m")},
    )


def test_a_letter_may_be_called_otherwise(proof: Certificate) -> None:
    data = copy.deepcopy(proof.data)
    _rename(data, "A", "Alpha_1")
    assert Certificate(data).check()


def test_one_word_cannot_be_read_as_a_product() -> None:
    """A B' = 1 does not follow from A B = 1, but it does from a letter called "A B"."""
    data = {
        "letters": {"A B": ["n", "n", "A B'"], "A B'": ["n", "n", "A B"]},
        "assumptions": [[["1", ["A B"]], ["-1", []]]],
        "claims": [[["1", ["A B'"]], ["-1", []]]],
        "cofactors": [[["1", [], 0, 1, []]]],
    }
    assert "cannot name a letter" in Certificate(data).refusal()


def test_a_primed_letter_is_the_transpose_of_the_one_without() -> None:
    """A symmetric and A' another letter would print A' = 0 from A' = 0 and never say that it is not about A."""
    letters = {"A": ["n", "n", "A"], "A'": ["n", "n", "A'"]}
    data = {
        "letters": letters,
        "assumptions": [[["1", ["A'"]]]],
        "claims": [[["1", ["A'"]]]],
        "cofactors": [[["1", [], 0, 0, []]]],
    }
    assert "cannot be the transpose" in Certificate(data).refusal()
    letters |= {"A": ["n", "n", "A'"], "A'": ["n", "n", "A"]}
    assert Certificate(data).check()


def test_sizes_of_an_example_agree() -> None:
    found = prove(["X A = 1"], "X A X A = 1", types={"A": ("2n", "n"), "X": ("n", "2 n")})
    assert found.check() and found.witness["sizes"]["2*n"] == 2 * found.witness["sizes"]["n"]
    data = copy.deepcopy(found.data)
    data["witness"] = {"sizes": {"2*n": 1, "n": 1}, "matrices": {"A": [["1"]], "X": [["1"]]}}
    assert "2*n = 1" in Certificate(data).refusal()


def test_symmetric_letters_are_said_to_be() -> None:
    found = prove([], "S A = (A' S)'", types={"S": ("n", "n"), "A": ("n", "m")}, symmetric={"S"})
    assert str(found).startswith("with S = S'")


@pytest.mark.what_if(
    "certificates",
    "a certificate is forged: a coefficient, a sign, a term, a letter, an assumption",
    "it does not check",
)
@pytest.mark.parametrize("name", forgeries())
def test_forgery_is_refused(proof: Certificate, name: str) -> None:
    data = copy.deepcopy(proof.data)
    forgeries()[name](data)
    assert proof.check()
    assert not Certificate(data).check()
    assert Certificate(data).refusal()


@pytest.mark.parametrize("left, right", [([], ["X"]), (["X"], []), ([], [])])
def test_cofactors_of_the_wrong_type_are_refused_even_where_they_cancel(
    proof: Certificate, left: list, right: list
) -> None:
    data = copy.deepcopy(proof.data)
    data["cofactors"][0] += [[c, left, 0, 0, right] for c in ("1", "-1")]
    assert "ill-typed cofactor" in Certificate(data).refusal()
    data["cofactors"][0][-2:] = [[c, ["X"], 0, 0, ["X"]] for c in ("1", "-1")]
    assert Certificate(data).check()


@pytest.mark.what_if("certificates", "any single coefficient of a certificate is changed", "it does not check")
def test_every_single_coefficient_matters(proof: Certificate) -> None:
    for claim, terms in enumerate(proof.data["cofactors"]):
        for term in range(len(terms)):
            changed, dropped = copy.deepcopy(proof.data), copy.deepcopy(proof.data)
            changed["cofactors"][claim][term][0] = "1/3"
            del dropped["cofactors"][claim][term]
            assert not Certificate(changed).check() and not Certificate(dropped).check()


def test_products_through_the_wrong_size_are_refused() -> None:
    """Without types, A R = 1 and C D = 1 would "prove" A R = C D."""
    letters = {
        "A": ["m", "n", "A'"],
        "A'": ["n", "m", "A"],
        "R": ["n", "m", "R'"],
        "R'": ["m", "n", "R"],
        "C": ["p", "n", "C'"],
        "C'": ["n", "p", "C"],
        "D": ["n", "p", "D'"],
        "D'": ["p", "n", "D"],
    }
    data = {
        "letters": letters,
        "assumptions": [[["1", ["A", "R"]], ["-1", []]], [["1", ["C", "D"]], ["-1", []]]],
        "claims": [[["1", ["A", "R"]], ["-1", ["C", "D"]]]],
        "cofactors": [[["1", [], 0, 0, []], ["-1", [], 1, 0, []]]],
    }
    assert "different type" in Certificate(data).refusal()
    for name in "CD":
        letters[name] = [v.replace("p", "m") for v in letters[name]]
        letters[name + "'"] = [v.replace("p", "m") for v in letters[name + "'"]]
    assert Certificate(data).check()


def test_identity_is_square() -> None:
    letters = {"A": ["m", "n", "A'"], "A'": ["n", "m", "A"]}
    data = {
        "letters": letters,
        "assumptions": [[["1", ["A"]], ["-1", []]]],
        "claims": [[["1", ["A"]], ["-1", []]]],
        "cofactors": [[["1", [], 0, 0, []]]],
    }
    assert "rectangular" in Certificate(data).refusal()


def test_json_round_trip(proof: Certificate) -> None:
    again = Certificate.from_json(proof.to_json())
    assert again == proof and again.check() and again.to_json() == proof.to_json()
    assert set(json.loads(proof.to_json())) == {"letters", "assumptions", "claims", "cofactors", "witness"}
    assert again.statement == {key: proof.data[key] for key in ("letters", "assumptions", "claims")}


def test_display_names_the_assumptions_used(proof: Certificate) -> None:
    assert "A' A X - A' =" in str(proof)
    assert all(f"({k})" in str(proof) for k in proof.used)
    assert r"A^{\top}" in proof._repr_latex_() and proof._repr_latex_().count("$") == 4


def test_a_letter_is_typeset_by_its_name() -> None:
    """What a certificate says about typesetting is not believed, and letters that look alike show their names."""
    found = prove(["A Y1 = 1"], "Y_1 A Y1 = Y_1", types={"A": ("m", "n"), "Y1": ("n", "m"), "Y_1": ("k", "m")})
    forged = Certificate({**found.data, "latex": {"A": "B", "A'": "B'"}})
    assert forged._repr_latex_() == found._repr_latex_() and "B" not in found._repr_latex_()
    assert r"\mathtt{Y1}" in found._repr_latex_() and r"\mathtt{Y\_1}" in found._repr_latex_()


@pytest.mark.parametrize(
    "name, look",
    [
        ("Lambda_tilde", r"\tilde{\Lambda}"),
        ("Lambdatilde_T", r"\tilde{\Lambda}_{T}"),
        ("Λ", r"\Lambda"),
        ("Wstar", "W^{*}"),
        ("Wstar'", r"{W^{*}}^{\top}"),
        ("A_i", "A_{i}"),
        ("D_1_12", "D_{1 12}"),
        ("X⁺", "{X}^{+}"),
        ("dW_3'", r"\mathrm{dW}_{3}^{\top}"),
        ("(A_j.T*Sigma_tilde**(-1)*A_i)⁺", r"{\left(A_{j}^{\top}\,\tilde{\Sigma}^{-1}\,A_{i}\right)}^{+}"),
    ],
)
def test_typeset_letters(name: str, look: str) -> None:
    assert Typesetter([name]).letter(name) == look


def test_checker_is_short_and_stands_alone() -> None:
    source = ast.parse(Path(module.__file__).read_text())
    imported = {
        name
        for node in ast.walk(source)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [getattr(node, "module", None)] + [alias.name for alias in node.names]
        if name is not None and (isinstance(node, ast.Import) or name == node.module)
    }
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
    definition = ast.parse(inspect.getsource(examine)).body[0]
    code = inspect.getsource(examine).splitlines()[definition.body[0].end_lineno :]
    assert sum(bool(line.strip()) for line in code) < 50, "lines behind the docstring"


@pytest.fixture
def positivity() -> Certificate:
    """From Bᵀ Aᵀ P A B = 0 with P positive definite to A B = 0."""
    found = prove(["A' P A B = 0"], "A B = 0", **SQUARE)
    assert found.check() and found.data["positive"] == {"P": "pd"}
    return found


@pytest.mark.what_if("certificates", "a proof by positivity is forged", "it does not check")
@pytest.mark.parametrize("name", positivity_forgeries())
def test_forged_positivity_is_refused(positivity: Certificate, name: str) -> None:
    data = copy.deepcopy(positivity.data)
    positivity_forgeries()[name](data)
    assert not Certificate(data).check() and Certificate(data).refusal()


def test_weight_that_is_not_symmetric_is_refused() -> None:
    """xᵀ P x = 0 for a skew P says nothing about x."""
    letters = {"P": ["n", "n", "P'"], "P'": ["n", "n", "P"], "x": ["n", "k", "x'"], "x'": ["k", "n", "x"]}
    data = {
        "letters": letters,
        "positive": {"P": "pd"},
        "assumptions": [[["1", ["x'", "P", "x"]]]],
        "claims": [[["1", ["x"]]]],
        "cofactors": [[["1", [], 1, 0, []]]],
        "lemmas": [{"squares": [["1", [["1", ["x"]]], ["P"]]], "trace": False, "cofactors": [["1", [], 0, 0, []]]}],
    }
    assert "no weight" in Certificate(data).refusal()
    for name in ("P", "P'"):
        del letters[name]
    letters["P"] = ["n", "n", "P"]
    assert Certificate(data).check()


def test_semidefinite_weight_gives_less() -> None:
    found = prove(["A' P A = 0"], "P A = 0", types={"A": ("m", "n"), "P": ("m", "m")}, positive={"P": "psd"})
    assert found.check() and "P is positive semidefinite" in str(found)
    data = copy.deepcopy(found.data)
    data["claims"] = [[["1", ["A"]]]]
    assert not Certificate(data).check()


def test_traces_of_identities_of_different_size_are_different() -> None:
    """UᵀU = 1 makes U Uᵀ = 1 only for a square U."""
    found = prove(["U' U = 1"], "U U' = 1", types={"U": ("n", "n")})
    assert found.check() and found.lemmas[0]["trace"]
    data = json.loads(found.to_json())
    for name, kind in data["letters"].items():
        kind[:2] = ["m", "n"] if name == "U" else ["n", "m"]
    assert not Certificate(data).check()


def test_trace_does_not_reach_the_claim() -> None:
    """tr(A B − B A) = 0, but A B = B A is another matter."""
    data = prove(["U' U = 1"], "U U' = 1", types={"U": ("n", "n")}).data
    letters = {**data["letters"], "A": ["n", "n", "A"], "B": ["n", "n", "B"]}
    forged = {
        "letters": letters,
        "assumptions": [],
        "claims": [[["1", ["A", "B"]], ["-1", ["B", "A"]]]],
        "cofactors": [[["1", [], 0, 0, []]]],
        "lemmas": [{"equation": [["1", ["A", "B"]], ["-1", ["B", "A"]]], "trace": True, "cofactors": []}],
    }
    assert not Certificate(forged).check()


def test_a_positivity_proof_can_be_read(positivity: Certificate) -> None:
    text = str(positivity)
    assert "(A B)' P (A B) =" in text and "a sum of squares vanishes only if each of them does:" in text
    assert "P is positive definite" in text and "(1) A B = 0" in text
    latex = positivity._repr_latex_()
    assert r"(A\,B)^{\top}P(A\,B)" in latex and r"P > 0" in latex


def test_squares_of_different_size_are_no_sum(positivity: Certificate) -> None:
    data = copy.deepcopy(positivity.data)
    data["lemmas"][0]["squares"].insert(0, ["1", [["1", ["A"]]], []])
    assert "no sum of squares" in Certificate(data).refusal()

"""The catalogue lists the registry as it is, and shows a failing check as failing."""

from __future__ import annotations

import re
from dataclasses import replace

from ngdsym.theorems import theorems
from ngdsym.theorems.catalogue import Catalogue, catalogue
from ngdsym.theorems.markdown import markdown
from ngdsym.theorems.theorem import Outcome


def outcomes(passed: bool = True) -> dict:
    return {name: {check: Outcome(passed, 0.0) for check in theorem.checks} for name, theorem in theorems().items()}


def test_every_statement_and_every_reason_is_on_the_page():
    page = Catalogue({"all": tuple(theorems().values())}, outcomes())._repr_markdown_()
    for theorem in theorems().values():
        assert markdown(theorem.title) in page and theorem.latex() in page and f"`{theorem.name}`" in page
        assert all(markdown(reason.rstrip(".")) in page for reason in theorem.missing.values())
    assert "FAILED" not in page


def test_no_formula_has_a_double_exponent():
    assert not [name for name, theorem in theorems().items() if re.search(r"\^\{[^{}]*\}\^", theorem.latex())]


def test_formulas_are_in_the_notation_of_the_book():
    """A transpose is ⊤ and the identity I, as in the text; two letters without room between them are a word."""
    foreign = re.compile(r"\^\{T\}|mathbb|_\{dot\}|(?<![\\{A-Za-z])[A-Zabce-z][A-Za-z]+")
    assert {name: found for name, theorem in theorems().items() if (found := foreign.findall(theorem.latex()))} == {}


def test_a_failing_check_is_shown():
    page = Catalogue({"all": tuple(theorems().values())}, outcomes(passed=False))
    assert not page.passed
    assert page._repr_markdown_().count("FAILED") == sum(len(theorem.checks) for theorem in theorems().values())


def test_the_catalogue_runs_the_checks(monkeypatch):
    from ngdsym.theorems import flow

    broken = replace(flow.LAYER, claims=flow.LAYER.wrong[:1])
    monkeypatch.setattr(flow, "THEOREMS", (broken,))
    assert not catalogue(["flow"]).passed

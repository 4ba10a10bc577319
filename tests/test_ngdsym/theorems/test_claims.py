"""The table of claims is complete, and what it says of a claim is held by theorems that exist."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from ngdsym.theorems import theorems
from ngdsym.theorems.claims import Claim, claims
from support.paths import ROOT

SUPPLEMENT = {"SM 19", "SM 34", "SM 36", "SM 37", "SM 45"}
UNNUMBERED = {  # the paper's claims without a number, by a theorem that decides each
    "steepest-descent",
    "fisher-is-hessian-of-kl",
    "loss-never-rises",
    "parametrization-invariance",
    "zero-weights-saddle",
    "units",
    "inverse-as-cheap-as-fisher",
    "off-diagonal-size",
    "kfac-is-L-times",
    "inverse-invariance",
    "predicted-decrease",
    "softmax-fisher-block",
    "tanh-kronecker-error",
    "natural-gradient-learns-uniformly",
}


def test_every_equation_of_the_paper_is_there_once() -> None:
    at = [claim.at for claim in claims().where(source="paper")]
    for number in [*map(str, range(1, 24)), *SUPPLEMENT, "footnote 1", *(f"Figure 1{panel}" for panel in "ABCD")]:
        assert at.count(number) == 1, number


def test_every_unnumbered_claim_is_there() -> None:
    decided = {name for claim in claims().where(source="paper") for name in claim.theorems}
    assert UNNUMBERED - decided == set()


def test_theorems_pages_and_tests_exist() -> None:
    known = theorems()
    for claim in claims():
        assert [name for name in claim.theorems if name not in known] == [], claim.at
        assert (ROOT / "book" / f"{claim.page}.ipynb").exists(), claim.at
        assert not claim.test or (ROOT / claim.test).exists(), claim.at


def test_theorems_are_about_the_equation_they_are_named_for() -> None:
    """A numbered equation that is proved names at least one theorem that cites it."""
    known = theorems()
    numbers = {*map(str, range(1, 24)), *SUPPLEMENT}
    for claim in claims():
        if claim.source == "paper" and claim.at in numbers and claim.status != "definition":
            assert any(claim.at in known[name].equations for name in claim.theorems), claim.at


@pytest.mark.parametrize(
    "change, message",
    [
        ({"status": "true"}, "status one of"),
        ({"source": "rumour"}, "source is one of"),
        ({"theorems": ()}, "by no theorem"),
        ({"status": "measured"}, "name the test"),
        ({"status": "conditional"}, "say on what"),
    ],
)
def test_claims_without_support_are_refused(change: dict, message: str) -> None:
    sound = {"source": "paper", "at": "4", "says": "…", "page": "flow", "status": "proved", "theorems": ("units",)}
    assert Claim(**sound)
    with pytest.raises(ValueError, match=message):
        Claim(**sound | change)


def test_indices_and_stars_are_not_taken_for_emphasis() -> None:
    """The page shows the table as Markdown."""
    text = MarkdownIt("commonmark").enable("table").render(claims()._repr_markdown_())
    assert "<em>" not in text and "e<sub>i+1</sub>" in text

"""Indices in docstrings are set low, names of parameters are not; no line of a table ends within a number."""

from __future__ import annotations

import pytest
from docutils import nodes
from keep_together import keep_numbers
from subscripts import lower, set_formulas


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ΔW_i = e_iᵀ x_{i-1}, F_ij", "ΔW<i> = e<i>ᵀ x<i-1>, F<ij>"),
        ("Λ̃_α and P_i^a.", "Λ̃<α> and P<i><a>."),
        ("chol_Lambda, second_order_bound, max_i, W_", "chol_Lambda, second_order_bound, max_i, W_"),
    ],
)
def test_indices_of_single_letters_are_low(text, shown):
    pieces = lower(text)
    assert "".join(piece if isinstance(piece, nodes.Text) else f"<{piece.astext()}>" for piece in pieces) == shown


def test_formulas_are_text_and_code_stays_code():
    content = nodes.paragraph("", "", nodes.Text("W_i is "))
    content += [nodes.literal("", text) for text in ("n_i × n_{i-1}", "P × P", "[M, n_L]", "weight_i=1", "lam")]
    set_formulas(content)
    shown = [(type(part).__name__, part.astext()) for part in content if not isinstance(part, nodes.Text)]
    assert shown == [
        ("subscript", "i"),
        ("inline", "ni × ni-1"),
        ("inline", "P × P"),
        ("literal", "[M, nL]"),
        ("literal", "weight_i=1"),
        ("literal", "lam"),
    ]


def test_a_number_is_kept_whole():
    cell = "<td>1.4e-15 (9e-16 … 3e-15)</td><td>a-1 e-2</td>"
    kept = '<span class="kept-together">{}</span>'.format
    assert keep_numbers(cell) == cell.replace("1.4e-15", kept("1.4e-15")).replace("9e-16", kept("9e-16")).replace(
        "3e-15", kept("3e-15")
    )


def test_a_range_is_kept_whole():
    cell = "<td>23 (23–24)</td><td>Gauss–Newton</td>"
    assert keep_numbers(cell) == cell.replace("(23–24)", '<span class="kept-together">(23–24)</span>')

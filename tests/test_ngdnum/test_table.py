"""What a table makes of results: columns by name, numbers to the right, nothing left out."""

from __future__ import annotations

import pytest

from ngdnum.table import Table, table


def test_rows_begin_with_their_keys_and_missing_values_stay_empty():
    found = table({("A", 0): {"SGD": 1.5, "NGD": None}, ("A", 1): {"SGD": 2}}, "network", "seed")
    assert found.header == ["network", "seed", "SGD", "NGD"]
    assert found.rows == [["A", 0, 1.5, None], ["A", 1, 2, ""]]


def test_numbers_are_aligned_right_and_text_left():
    html = table({"a": [12345.0, "1 (1 … 2)"]}, "name", "examples", "spread")._repr_html_()
    assert '<td style="text-align: right">12,345</td>' in html
    assert '<td style="text-align: left">1 (1 … 2)</td>' in html


def test_text_is_escaped():
    assert "<b>" not in Table(["<b>"], [["<b>"]])._repr_html_()


@pytest.mark.parametrize("header", [("name",), ("name", "one", "two")])
def test_as_many_names_as_columns(header):
    with pytest.raises(ValueError, match="cells"):
        table({"a": 1}, *header)

"""Tables and sentences of who is ahead: they turn when the numbers do."""

from __future__ import annotations

import math

import pytest

from ngdnum.experiments.standing import medians, standing_table, verdict, verdict_table


def _report(ours: list, theirs: list) -> dict:
    def of(name: str, end: list) -> dict:
        way = {"1/4": [4.0, 4.0, 4.0], "1/2": [2.0, 2.0, 2.0]}
        accuracy = {"4s": [0.8, 0.7, 0.9]}
        return {"name": name, "error_at": {"4s": end}, "error_on_the_way": way, "accuracy_at": accuracy, "step_ms": 2.0}

    return {"budgets": ["4s"], "methods": [of("NGD.fast", ours), of("SGD", theirs), of("NGD.paper", [9.0, 9.0, 9.0])]}


@pytest.mark.parametrize(
    ("ours", "theirs", "word"),
    [
        ([1.0, 0.9, 0.8], [1.0, 0.99, 0.98], "ahead"),
        ([1.0, 0.99, 0.98], [1.0, 0.9, 0.8], "behind"),
        ([1.0, 0.99, 0.98], [1.0, 0.98, 0.98], "level"),
        ([None, None, 0.1], [1.0, 1.0, 1.0], "behind"),
    ],
)
def test_the_median_of_the_best_of_each_side_decides(ours: list, theirs: list, word: str) -> None:
    found = verdict(_report(ours, theirs))
    assert list(found) == ["1/4", "1/2", "4s"] and found["1/4"].startswith("level")
    assert found["4s"].startswith(word)
    table = verdict_table({"task": _report(ours, theirs), "same": _report(ours, theirs)})
    counts = ", ".join(f"{w} {2 if w == word else 0}" for w in ("ahead", "level", "behind"))
    assert f"<td>{counts}</td></tr>\n</tbody></table>" in table


def test_what_has_diverged_in_most_runs_has_no_number() -> None:
    report = _report([None, None, 0.1], [0.5, 0.5, None])
    assert math.isinf(medians(report)["4s"]["NGD.fast"])
    rows = standing_table(report).splitlines()
    start = "<tr><td>{}</td><td><b>4.00</b></td><td><b>2.00</b></td>"
    assert rows[3] == start.format("NGD.fast") + "<td>–</td><td>0.800</td><td>2.00</td></tr>"
    assert rows[4] == start.format("SGD") + "<td><b>0.500</b></td><td>0.800</td><td>2.00</td></tr>"


def test_tables_have_as_many_cells_in_each_row() -> None:
    report = _report([1.0, 1.0, 1.0], [2.0, 2.0, 2.0])
    for m in report["methods"]:
        del m["accuracy_at"]
        m["step_ms"] = 110.2
    assert "<td>110</td>" in standing_table(report)
    for table in (standing_table(report), verdict_table({"task": report})):
        rows = [row for row in table.splitlines() if row.startswith("<tr>")]
        assert len({row.count("<td>") + row.count("<th>") for row in rows}) == 1

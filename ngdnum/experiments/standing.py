"""Who is ahead in a recorded benchmark: tables and sentences that follow from its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..results import median

LEVEL = 1.03  # two medians are level while neither is more than this times the other
Report = Mapping[str, Any]  # what `python -m ngdnum bench TASK --json` prints


def medians(report: Report) -> dict[str, dict[str, float]]:
    """The median error of each method after each part of the longest budget, by part; infinite: most have diverged.

    Examples
    --------
    >>> import json
    >>> from ngdnum.recorded import recorded
    >>> [*medians(json.loads(recorded("bench-mlp.json").read_text()))]
    ['1/4', '1/2', '4s']
    """
    last, methods = report["budgets"][-1], report["methods"]
    parts = {part: {m["name"]: m["error_on_the_way"][part] for m in methods} for part in ("1/4", "1/2")}
    parts[last] = {m["name"]: m["error_at"][last] for m in methods}
    return {part: {name: median(errors) for name, errors in of.items()} for part, of in parts.items()}


def standing_table(report: Report) -> str:
    """HTML: the medians of each method, the lowest of each column bold; accuracy; milliseconds of a step."""
    found, last = medians(report), report["budgets"][-1]
    classified = "accuracy_at" in report["methods"][0]
    rows = [["method", *found, *(["accuracy"] if classified else []), "ms a step"]]
    for m in report["methods"]:
        name = m["name"]
        errors = [_bold(of[name], of[name] == min(of.values())) for of in found.values()]
        accuracies = [f"{median(m['accuracy_at'][last]):.3f}"] if classified else []
        rows.append([name, *errors, *accuracies, "–" if m["step_ms"] is None else _number(m["step_ms"])])
    return _table(rows)


def verdict(report: Report) -> dict[str, str]:
    """Whether the best natural gradient method is ahead of the best other one, after each part of the budget.

    "ahead", "level" (within `LEVEL`) or "behind", and both with their medians.
    """
    sentences = {}
    for part, of in medians(report).items():
        ours, theirs = (
            min((n for n in of if n.startswith("NGD") == is_ours), key=lambda name: of[name])
            for is_ours in (True, False)
        )
        if of[ours] * LEVEL < of[theirs]:
            word = "ahead"
        elif of[ours] > LEVEL * of[theirs]:
            word = "behind"
        else:
            word = "level"
        sentences[part] = f"{word}: {ours} {_number(of[ours])}, {theirs} {_number(of[theirs])}"
    return sentences


def verdict_table(reports: Mapping[str, Report]) -> str:
    """HTML: the `verdict` of each task, and how often each word stands in a column."""
    rows = [["task", "after 1/4", "after 1/2", "at the end"]]
    verdicts = [list(verdict(report).values()) for report in reports.values()]
    rows += [[task, *cells] for task, cells in zip(reports, verdicts)]
    counts = [
        ", ".join(f"{word} {sum(cell.startswith(word) for cell in column)}" for word in ("ahead", "level", "behind"))
        for column in zip(*verdicts)
    ]
    return _table([*rows, ["<b>all</b>", *counts]])


def _number(value: float) -> str:
    return f"{value:#.3g}".rstrip(".") if math.isfinite(value) else "–"


def _bold(value: float, best: bool) -> str:
    return f"<b>{_number(value)}</b>" if best else _number(value)


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (
        "".join(f"<{cell}>{text}</{cell}>" for text in row) for cell, row in zip(["th", *["td"] * len(rows)], rows)
    )
    return "\n".join(
        ["<table><thead>", f"<tr>{head}</tr>", "</thead><tbody>", *(f"<tr>{r}</tr>" for r in body), "</tbody></table>"]
    )

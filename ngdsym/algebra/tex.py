"""LaTeX as people write it: tildes over letters, words upright, equations that differ in a number as one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from sympy import Basic, latex

TILDES = (
    (re.compile(r"(\\[A-Z][a-z]+)_\{tilde ([^{}]*)\}"), r"\\tilde{\1}_{\2}"),
    (re.compile(r"(\\[A-Z][a-z]+) tilde\b"), r"\\tilde{\1}"),
)
WORD = re.compile(r"(?<![\\{A-Za-z])[A-Za-z]{3,}")
NUMBERED = re.compile(r"_\{([A-Za-z] )?(\d+)\}")
FEW = 3  # equations that differ in a number stand by themselves up to here


def tex(expression: Basic) -> str:
    """SymPy's LaTeX, with tildes over letters and words upright.

    Examples
    --------
    >>> from sympy import Eq, Symbol
    >>> print(tex(Eq(Symbol("rank_F"), Symbol("r_Lambda_tilde"))))
    \\mathrm{rank}_{F} = r_{\\tilde{\\Lambda}}
    """
    text = latex(expression)
    for pattern, written in TILDES:
        text = pattern.sub(written, text)
    return WORD.sub(r"\\mathrm{\g<0>}", text)


def equations(relations: Iterable[Basic]) -> list[str]:
    """A line for each relation, and one for all that differ only in the number that counts their letters.

    Examples
    --------
    >>> from sympy import Eq, symbols
    >>> print(*equations(map(Eq, symbols("x:6"), symbols("y:6"))), sep="; ")
    x_{i} = y_{i},\\quad i = 0, \\dots, 5
    """
    lines = []
    for pattern, members in groupby(map(tex, relations), _pattern):
        alike = list(members)
        if pattern and len(alike) > FEW:
            first, last = (NUMBERED.findall(line)[0][1] for line in (alike[0], alike[-1]))
            alike = [rf"{pattern},\quad i = {first}, \dots, {last}"]
        lines += alike
    return lines


def _pattern(line: str) -> str:
    """The line with i for the one number in all its indices; empty if there is none."""
    numbers = {number for _, number in NUMBERED.findall(line)}
    return NUMBERED.sub(r"_{\1i}", line) if len(numbers) == 1 else ""

"""LaTeX as the book writes it: tildes and dots over letters, words upright, A^⊤, and I for the identity.

Equations that differ in a number are one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from sympy import Basic, latex

WRITTEN = (
    (re.compile(r"(\\[A-Z][a-z]+)_\{tilde ([^{}]*)\}"), r"\\tilde{\1}_{\2}"),
    (re.compile(r"(\\[A-Z][a-z]+) tilde\b"), r"\\tilde{\1}"),
    (re.compile(r"(\b[A-Za-z])_\{dot\}"), r"\\dot{\1}"),
    (re.compile(r"\^\{T\}"), r"^{\\top}"),
    (re.compile(r"\\mathbb\{I\}"), "I"),
    (re.compile(r"\bF_\{g\}"), "{F^{g}}"),
    (re.compile(r"\bF_\{plus\}"), "{F^{+}}"),
    (re.compile(r"_\{(in|[a-z]{3,})\}"), r"_{\\mathrm{\1}}"),
    (re.compile(r"\\left\((\\frac\{\d+\}\{\d+\})\\right\)(?!\^)"), r"\1"),
)
WORD = re.compile(r"(?<![\\{A-Za-z])(?:[A-Za-z]{3,}|[A-Zabce-z][A-Za-z])(?![A-Za-z])")
RELATION = re.compile(r" (=|<|>|\\leq|\\geq|\\neq) ")
SILENT = re.compile(r"\\(?:left|right|tilde|dot|mathrm|operatorname|frac)(?![A-Za-z])|[{}^_ ]")
OPERATOR = re.compile(r" (?:[-+=<>]|\\otimes|\\leq|\\geq|\\neq) ")  # with room on both sides
COMMAND = re.compile(r"\\[A-Za-z]+")
WIDTH = 44  # letters of a formula that the box of a notebook's output holds
NUMBERED = re.compile(r"_\{([A-Za-z] )?(\d+)\}")
FEW = 3  # equations that differ in a number stand by themselves up to here


def tex(expression: Basic) -> str:
    """SymPy's LaTeX in the book's notation: tildes and dots over letters, words upright, A^⊤, and I.

    Examples
    --------
    >>> from sympy import Eq, Symbol
    >>> print(tex(Eq(Symbol("rank_F"), Symbol("r_Lambda_tilde"))))
    \\mathrm{rank}_{F} = r_{\\tilde{\\Lambda}}
    >>> from sympy import Identity, MatrixSymbol
    >>> print(tex(MatrixSymbol("W_dot", 2, 2).T + Identity(2)))
    I + \\dot{W}^{\\top}
    """
    text = latex(expression)
    for pattern, written in WRITTEN:
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


def aligned(lines: Iterable[str]) -> str:
    """Equations below each other; those too long for the page go on in rows of their own.

    Examples
    --------
    >>> print(aligned(["a = b", " + ".join("abcdefghijklmnopqrstu") + " = y"]))
    \\begin{aligned}
    a &= b \\\\
    & a + b + c + d + e + f + g + h + i + j + k + l + m + n + o \\\\
    & \\quad + p + q + r + s + t + u \\\\
    &= y
    \\end{aligned}
    """
    sides = [RELATION.split(line, maxsplit=1) for line in lines]
    wide = max(letters(left) for left, *_ in sides) + max(letters(right) for *_, right in sides) > WIDTH
    rows = [row for left, relation, right in sides for row in _rows(left, relation, right, wide)]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


def _rows(left: str, relation: str, right: str, wide: bool) -> list[str]:
    if wide and letters(left) > WIDTH // 3:  # it stands above the right side
        first, *more = _pieces(left, WIDTH)
        return [f"& {first}", *_continued(more), *_side(f"&{relation}", right, WIDTH)]
    return _side(f"{left} &{relation}", right, WIDTH - letters(left))


def _side(before: str, formula: str, width: int) -> list[str]:
    first, *more = _pieces(formula, width)
    return [f"{before} {first}", *_continued(more)]


def _continued(pieces: list[str]) -> list[str]:
    return [rf"& \quad {piece}" for piece in pieces]


def letters(formula: str) -> int:
    """About how many letters wide the formula is."""
    return len(COMMAND.sub("x", SILENT.sub("", formula))) + len(OPERATOR.findall(formula))


def _pieces(formula: str, width: int) -> list[str]:
    """The formula, cut before signs outside all brackets, each piece as long as `width` allows."""
    terms: list[str] = []
    depth = 0
    for part in re.split(r" (?=[+-] )", formula):
        if depth == 0:
            terms.append(part)
        else:
            terms[-1] += f" {part}"
        depth += part.count("{") - part.count("}") + part.count(r"\left") - part.count(r"\right")
    pieces = terms[:1]
    for term in terms[1:]:
        if letters(f"{pieces[-1]} {term}") > width:
            pieces.append(term)
        else:
            pieces[-1] += f" {term}"
    return pieces


def _pattern(line: str) -> str:
    """The line with i for the one number in all its indices; empty if there is none."""
    numbers = {number for _, number in NUMBERED.findall(line)}
    return NUMBERED.sub(r"_{\1i}", line) if len(numbers) == 1 else ""

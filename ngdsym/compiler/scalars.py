"""Scalar formulas to plain Python functions."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from sympy import Expr, Piecewise, Rel, S, Symbol, Tuple, fraction, latex, pycode

from ngdsym.compiler.text import Argument, function_source, parameter, sections, wrap


@dataclass(frozen=True)
class Formula:
    """A function of numbers.

    Parameters
    ----------
    name : str
        Of the emitted function.
    value : Expr or Tuple
        What it returns; the pieces of a Piecewise become early returns.
    parameters : dict of Symbol to str
        The arguments in order, with their meanings.
    title, result : str
        For the docstring.
    letters : dict of Symbol to str
        LaTeX of parameters whose name is not how they are printed.
    """

    name: str
    value: Expr | Tuple
    parameters: dict[Symbol, str]
    title: str
    result: str
    letters: dict[Symbol, str] = field(default_factory=dict)

    def emit(self) -> str:
        """Source of the function."""
        pieces = self.value.args if isinstance(self.value, Piecewise) else ((self.value, True),)
        lines = []
        for value, condition in pieces:
            if condition in (True, S.true):
                lines.append(f"return {python(value)}")
            else:
                lines += [f"if {python(condition)}:", f"    return {python(value)}"]
        returns = "tuple[float, float]" if isinstance(pieces[-1][0], Tuple) else "float"
        doc = [f"{self.title}.", *wrap(latex(self.value, symbol_names=self.letters))]
        arguments = {parameter(symbol): Argument("float", meaning) for symbol, meaning in self.parameters.items()}
        doc += sections(arguments, returns, self.result)
        return function_source(self.name, arguments, returns, doc, lines)


def python(value: Expr | Tuple) -> str:
    """Python text of a scalar or a tuple of them."""
    if isinstance(value, Tuple):
        return ", ".join(map(python, value))
    if isinstance(value, Rel):
        return f"{python(value.lhs)} {value.rel_op} {python(value.rhs)}"
    symbols = {symbol: Symbol(parameter(symbol)) for symbol in value.free_symbols}
    numerator, denominator = fraction(value.xreplace(symbols))
    text = f"({pycode(numerator)}) / ({pycode(denominator)})".removesuffix(" / (1)")
    return ast.unparse(ast.parse(text, mode="eval"))

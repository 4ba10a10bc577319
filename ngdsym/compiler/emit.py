"""From compiled rules to torch source: a pair of typed functions whose docstring is the formula they compute."""

from __future__ import annotations

import ast
import textwrap

from sympy import Add, Expr, Identity, MatAdd, MatrixSymbol, Symbol
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.algebra.symbols import lam
from ngdsym.algebra.tex import tex
from ngdsym.compiler.compile import Compiled, compile_update, count, leading
from ngdsym.compiler.definition import Definition, Update
from ngdsym.compiler.function import Function
from ngdsym.compiler.graph import Node, live_nodes
from ngdsym.compiler.nodes import split_scale
from ngdsym.compiler.text import WIDTH, Argument, canonical, function_source, pack, parameter, plain, sections, wrap


def emit_rule(
    compiled: Compiled, prefix: str = "", halves: bool = False, whole: bool = True, main: str = "factorise"
) -> list[str]:
    """Source of `{prefix}factorise` and `{prefix}apply`, and, if asked for, of both halves of the latter.

    The docstring of `main`, "factorise" or "apply", is that of the rule; with `whole`, arguments are in it. If the
    rule is documented elsewhere, `main` is "".
    """
    rule, state = compiled.rule, compiled.state
    slow = function(compiled, f"{prefix}factorise")
    slow.inputs(state)
    names = slow.compute(state)
    slow.lines.append(f"return {pack(names)}")
    doc = documented(rule, compiled.flops[0]) if main == "factorise" else brief("Slow part", compiled.flops[0])
    if whole:
        solves = any("cholesky(" in line for line in slow.lines)
        raises = "If a matrix to be inverted is not positive definite." if solves else ""
        result = f"State for `{prefix}apply`: {', '.join(names)}." if names else "The empty state."
        doc += sections(slow.arguments, "tuple[Tensor, ...]", result, raises)
    sources = [function_source(slow.name, slow.arguments, "tuple[Tensor, ...]", doc, slow.lines)]

    fast = [("apply", compiled.value, "ΔW for learning rate 1", compiled.flops[1])]
    for side, half in compiled.halves.items() if halves else ():
        fast.append((side, half.value, f"{side.title()} half of `{prefix}apply`", half.flops))
    for part, node, title, flops in fast:
        f = function(compiled, f"{prefix}{part}")
        f.inputs([compiled.program.input(rule.gradient)])
        f.arguments["state"] = Argument("tuple[Tensor, ...]", f"What `{prefix}factorise` returned.")
        if state:
            needed = {arg for live in live_nodes([node], state) for arg in live.args} | {node}
            f.lines.append(f"{pack([name if k in needed else '_' for k, name in zip(state, names)])} = state")
            f.names.update(zip(state, names))
        f.inputs([node])
        f.lines.append(f"return {f.expression(node)}")
        doc = documented(rule, flops) if part == main else brief(title, flops)
        sources.append(function_source(f.name, f.arguments, "Tensor", doc, f.lines))
    return sources


def function(compiled: Compiled, name: str) -> Function:
    defaults = {parameter(symbol): value for symbol, value in compiled.rule.constants}
    return Function(name, compiled.rule.whole.atoms(MatrixSymbol), defaults)


def documented(rule: Definition, flops: Expr) -> list[str]:
    """What a rule is called, where it comes from, what the function costs, and the formula."""
    title = rule.title or rule.name
    heading = f"{title[0].upper()}{title[1:]}" + (f" ({rule.source})" if rule.source else "")
    return [*textwrap.wrap(f"{heading}. {cost(flops)}", WIDTH - 8), *wrap(formula(rule))]


def brief(title: str, flops: Expr) -> list[str]:
    return textwrap.wrap(f"{title}; {cost(flops)}", WIDTH - 8)


def cost(flops: Expr) -> str:
    return f"FLOPs: {plain(flops)}."


def formula(rule: Definition) -> str:
    """Formulas of a rule and, if it has one, of its memory, in which the damping of the factors has names."""
    if not rule.memory:
        return rf"\Delta W = {tex(rule.expression)}"
    symbol, renewed = rule.memory
    names = {c: Symbol(f"c_{{{tex(factor)}}}") for factor, c in dampings(rule.whole).items()}
    formulas = [
        rf"\Delta W = {tex(rule.expression.xreplace(names))}",
        rf"{tex(symbol)} \leftarrow {tex(renewed.xreplace(names))}",
        *(f"{tex(name)} = {tex(c)}" for c, name in names.items()),
    ]
    return r",\quad ".join(formulas)


def emit_update(update: Update, name: str, whole: bool = True) -> str:
    """Source of the function `name`."""
    _, value = compile_update(update)
    f = Function(name, update.expression.atoms(MatrixSymbol))
    f.inputs([value])
    f.lines.append(f"return {f.expression(value)}")
    about = f"{update.title[0].upper()}{update.title[1:]}."
    doc = [*textwrap.wrap(f"{about} {cost(leading(total(value)))}", WIDTH - 8), *wrap(tex(update.expression))]
    if whole:
        doc += sections(f.arguments, "Tensor", "The new matrix.")
    return function_source(f.name, f.arguments, "Tensor", doc, f.lines)


def total(value: Node) -> Expr:
    """All FLOPs of a node."""
    return count(value, fast=True) + count(value, fast=False)


def emit_damping(compiled: Compiled, name: str) -> str:
    """Source of the function `name`: the multiple of the identity that the rule adds to each factor."""
    added = dampings(compiled.rule.expression)
    f = function(compiled, name)
    entries = []
    for factor, scale in added.items():
        text, nodes, scalars = compiled.program.scalar(scale)
        f.inputs(nodes)
        f.scalars(scalars)
        value = text.format(*f.compute(nodes))
        entries.append(f'    "{factor.name}": {ast.unparse(ast.parse(value, mode="eval"))},')
    f.lines += ["return {", *entries, "}"]
    doc = [f"c of every factor A + c I in `{compiled.rule.name}`, by the name of A."]
    return function_source(f.name, f.arguments, "dict[str, Tensor | float]", doc, f.lines)


def dampings(expression: MatrixExpr) -> dict[MatrixSymbol, Expr]:
    """The c of every A + c I in `expression` with a symbol A and a c that depends on λ, by A.

    Examples
    --------
    >>> from ngdsym.rules.zoo import kronecker
    >>> dampings(kronecker.expression)
    {Lambda_tilde: sqrt(lambda), Lambda: sqrt(lambda)}
    """
    found = {}
    for total in expression.atoms(MatAdd):
        (factor,) = [term for term in total.args if isinstance(term, MatrixSymbol)] or [None]
        shifts = [split_scale(term) for term in total.args if term != factor]
        c = Add(*(scale for scale, _ in shifts))
        if factor is not None and c.has(lam) and all(isinstance(rest, Identity) for _, rest in shifts):
            found[factor] = c
    return {factor: found[factor] for factor in sorted(found, key=lambda factor: canonical(factor.name))}

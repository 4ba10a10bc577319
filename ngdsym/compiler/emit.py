"""From programs to torch source: typed functions whose docstring is the formula they compute."""
from __future__ import annotations

import ast
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from keyword import iskeyword
from pathlib import Path
from typing import TYPE_CHECKING, Container

from sympy import Add, Expr, Identity, MatAdd, MatrixSymbol, S, Symbol, latex
from sympy.matrices.expressions.matexpr import MatrixExpr

from ngdsym.compiler.lower import Node, parameter, split_scale
from ngdsym.algebra.symbols import MEANING, lam

if TYPE_CHECKING:
    from ngdsym.rules.rule import Rule, Update

WIDTH = 110
INLINE = 80
"""Longest operands that are written in place instead of getting a name."""

PRIMITIVES = Path(__file__).with_name("primitives.py")
HEAD = """from __future__ import annotations

import torch
from torch import Tensor"""
ORDER = ("Lambda_tilde", "Lambda", "lam")


def emit_rule(rule: Rule, prefix: str = "", halves: bool = False) -> str:
    """Source of `{prefix}factorise` and `{prefix}apply`, and of the `{prefix}left` and `{prefix}right` half of that."""
    value, kept = rule.program[1], rule.state()
    title = (rule.title or rule.name) + (f" ({rule.source})" if rule.source else "")
    slow_flops, fast_flops = rule.flops()
    formula = with_memory(rule) if rule.memory else rf"\Delta W = {latex(rule.expression)}"
    shapes = {symbol.name: symbol.shape for symbol in rule.whole.atoms(MatrixSymbol)}

    slow = Function(f"{prefix}factorise", "tuple[Tensor, ...]", f"Slow part of {title}.", formula, slow_flops)
    slow.inputs(kept, shapes)
    names = slow.compute(kept)
    slow.result = f"State for `{prefix}apply`: {', '.join(names)}." if names else "The empty state."
    slow.lines.append(f"return {pack(names)}")

    fast = [Function(f"{prefix}apply", "Tensor", f"Fast part of {title}.", formula,
                     fast_flops, result="ΔW for learning rate 1.")]
    values = [value]
    for side, half in rule.halves().items() if halves else ():
        about = f"The {side} half of the fast part of {title}; both, one after the other, are all of it."
        fast.append(Function(f"{prefix}{side}", "Tensor", about, latex(half), rule.flops_of(half),
                             result="The product."))
        values.append(rule.program[0].lower(half))
    for function, node in zip(fast, values):
        function.inputs([rule.program[0].input(rule.gradient)], shapes)
        function.parameters["state"] = "tuple[Tensor, ...]", f"What `{prefix}factorise` returned."
        if kept:
            needed = {arg for fast_node in live_nodes([node], kept) for arg in fast_node.args}
            function.lines.append(f"{pack([name if k in needed else '_' for k, name in zip(kept, names)])} = state")
            function.names.update(zip(kept, names))
        function.inputs([node], shapes)
        function.lines.append(f"return {function.expression(node)}")
    return "\n\n\n".join(function.source() for function in (slow, *fast)) + "\n"


def with_memory(rule: Rule) -> str:
    """Formulas of a rule and of its memory, in which the damping of the factors has names."""
    symbol, renewed = rule.memory
    names = {c: Symbol(f"c_{{{latex(factor)}}}") for factor, c in dampings(rule.whole).items()}
    formulas = [
        rf"\Delta W = {latex(rule.expression.xreplace(names))}",
        rf"{latex(symbol)} \leftarrow {latex(renewed.xreplace(names))}",
        *(f"{latex(name)} = {latex(c)}" for c, name in names.items()),
    ]
    return r",\quad ".join(formulas)


def emit_update(update: Update, name: str = "update") -> str:
    """Source of the function `name`."""
    value = update.program[1]
    shapes = {symbol.name: symbol.shape for symbol in update.expression.atoms(MatrixSymbol)}
    function = Function(name, "Tensor", f"{update.title[0].upper()}{update.title[1:]}.",
                        latex(update.expression), update.flops(), result="The new matrix.")
    function.inputs([value], shapes)
    function.lines.append(f"return {function.expression(value)}")
    return function.source() + "\n"


def emit_damping(rule: Rule, name: str = "damping") -> str:
    """Source of the function `name`: the multiple of the identity that the rule adds to each factor."""
    added = dampings(rule.expression)
    formula = r",\quad ".join(rf"c_{{{latex(factor)}}} = {latex(scale)}" for factor, scale in added.items())
    shapes = {symbol.name: symbol.shape for symbol in rule.expression.atoms(MatrixSymbol)}
    title = f"Damping of the factors in {rule.title or rule.name}."
    function = Function(name, "dict[str, Tensor | float]", title, formula, S.Zero,
                        result="c of every A + c I, by the name of A.")
    entries = []
    for factor, scale in added.items():
        text, nodes, scalars = rule.program[0].scalar(scale)
        function.inputs(nodes, shapes)
        function.parameters |= {scalar: ("float", MEANING[scalar]) for scalar in sorted(scalars)}
        value = text.format(*function.compute(nodes))
        entries.append(f'    "{factor.name}": {ast.unparse(ast.parse(value, mode="eval"))},')
    function.lines += ["return {", *entries, "}"]
    return function.source() + "\n"


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


def emit_module(functions: list[str], head: str, tail: str = "") -> str:
    """Module of `functions`, with those primitives that they use."""
    body = "\n\n".join(functions)
    tree = ast.parse(PRIMITIVES.read_text())
    defined = {f.name: f for f in tree.body if isinstance(f, ast.FunctionDef)}
    used, new = set(), called(ast.parse(body)) & defined.keys()
    while new:
        used |= new
        new = set().union(*(called(defined[name]) for name in new)) & defined.keys() - used
    primitives = [ast.get_source_segment(PRIMITIVES.read_text(), f) for f in defined.values() if f.name in used]
    return "\n\n\n".join(part.strip("\n") for part in [head, *primitives, *functions, tail] if part) + "\n"


@dataclass
class Function:
    """A function under construction."""

    name: str
    returns: str
    summary: str
    formula: str
    flops: Expr
    result: str = ""
    parameters: dict[str, tuple[str, str]] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def inputs(self, roots: list[Node], shapes: dict[str, tuple]) -> None:
        """Declare the matrices and scalars that `roots` need beyond what has a name."""
        nodes = live_nodes(roots, self.names)
        matrices = {node.template for node in nodes if node.is_input and node not in self.names}
        scalars = {name for node in nodes for name in node.scalars}
        for name in sorted(matrices, key=canonical) + sorted(scalars, key=canonical):
            size = f"`[..., {', '.join(map(str, shapes[name]))}]`. " if name in shapes else ""
            kind = "Tensor" if name in shapes else "int" if name == "L" else "float"
            self.parameters[name] = kind, size + MEANING.get(name, "")
        self.names.update({node: node.template for node in nodes if node.is_input})

    def compute(self, roots: list[Node]) -> list[str]:
        """Write lines that compute `roots`; return their names."""
        self.uses = uses(roots, self.names)
        return [self.assign(root) for root in roots]

    def assign(self, node: Node) -> str:
        """Name of `node`, computed in a line of its own if it has none yet."""
        if node not in self.names:
            text, name, count = self.text(node, WIDTH - len(f"    {node.label} = ")), node.label, 1
            while name in self.names.values():
                count += 1
                name = f"{node.label}_{count}"
            self.lines.append(f"{name} = {text}")
            self.names[node] = name
        return self.names[node]

    def expression(self, root: Node) -> str:
        """Expression for `root`, after lines for the parts of it that need a name."""
        self.uses = uses([root], self.names)
        return self.names.get(root) or self.text(root)

    def text(self, node: Node, room: int = WIDTH) -> str:
        """Right-hand side for `node`; operands used once are written in place unless that gets too long."""
        inline = {arg: self.text(arg) for arg in node.args if arg not in self.names and self.uses[arg] == 1}
        named = sum(len(self.names.get(arg, arg.label)) for arg in node.args if arg not in inline)
        room = min(INLINE, room - len(node.template) - named)
        while inline and sum(map(len, inline.values())) > room:
            longest = max(inline, key=lambda arg: len(inline[arg]))
            self.assign(longest)
            del inline[longest]
        operands = [f"({inline[arg]})" if arg in inline else self.assign(arg) for arg in node.args]
        return ast.unparse(ast.parse(node.template.format(*operands), mode="eval"))

    def source(self) -> str:
        summary = textwrap.wrap(self.summary, WIDTH - 8)
        about = [*summary, *wrap(self.formula), f"FLOPs: {plain(self.flops)}, per member of the batch."]
        solves = any("cholesky(" in line for line in self.lines)
        raises = "If a matrix to be inverted is not positive definite." if solves else ""
        return function_source(
            self.name, self.parameters, self.returns, about, self.result, raises, self.lines
        )


def function_source(
    name: str,
    parameters: dict[str, tuple[str, str]],
    returns: str,
    about: list[str],
    result: str,
    raises: str,
    lines: list[str],
) -> str:
    """Function with a NumPy-style docstring; `parameters` maps a name to its type and meaning."""
    inputs = ", ".join(f"{name}: {kind}" for name, (kind, _) in parameters.items())
    head = f"def {name}({inputs}) -> {returns}:"
    if len(head) > WIDTH:
        head = f"def {name}(\n    {inputs}\n) -> {returns}:"
    documented = [(f"{name} : {kind}", f"    {meaning}") for name, (kind, meaning) in parameters.items()]
    sections = {
        "Parameters": [line for pair in documented for line in pair],
        "Returns": [returns, *("    " + line for line in textwrap.wrap(result, WIDTH - 8))],
        "Raises": ["torch.linalg.LinAlgError", f"    {raises}"] if raises else [],
    }
    doc = [line for title, body in sections.items() if body for line in ("", title, "-" * len(title), *body)]
    body = "\n".join([f'r"""{about[0]}', *about[1:], *doc, '"""', *lines])
    return f"{head}\n{textwrap.indent(body, '    ')}"


# --- the graph ------------------------------------------------------------------------------------

def live_nodes(roots: list[Node], stop: Container[Node] = ()) -> list[Node]:
    """Nodes that `roots` are computed from, operands first, without those below a node in `stop`."""
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in found:
            if node not in stop:
                for arg in node.args:
                    visit(arg)
            found[node] = None

    for root in roots:
        visit(root)
    return [node for node in found if node not in stop]


def uses(roots: list[Node], stop: Container[Node]) -> Counter[Node]:
    """How often each node is an operand in the computation of `roots`, or one of them."""
    return Counter(roots) + Counter(arg for node in live_nodes(roots, stop) for arg in node.args)


def carried(value: Node) -> list[Node]:
    """Slow nodes that a fast one needs: the state handed from `factorise` to `apply`."""
    if not value.fast:
        return [value]
    found: dict[Node, None] = {}
    for node in live_nodes([value]):
        if node.fast:
            found.update(dict.fromkeys(arg for arg in node.args if not arg.fast))
    return list(found)


# --- names ----------------------------------------------------------------------------------------

def check_names(expression: MatrixExpr) -> None:
    """Raise ValueError unless every symbol can be a parameter of an emitted function."""
    tree = ast.parse(PRIMITIVES.read_text())
    taken = {"state", "torch", "Tensor"} | {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}
    symbols = expression.atoms(MatrixSymbol) | expression.atoms(Symbol)
    for name in sorted(parameter(symbol) for symbol in symbols):
        if not name.isidentifier() or iskeyword(name) or name in taken:
            raise ValueError(f"{name!r} cannot be a parameter of Python code: give that symbol another name")


# --- text -----------------------------------------------------------------------------------------

def pack(names: list[str]) -> str:
    """Tuple of names as written on either side of an assignment."""
    return f"{names[0]}," if len(names) == 1 else ", ".join(names) or "()"


def canonical(name: str) -> tuple[int, str]:
    """Order of parameters: Λ̃, Λ, λ, then by name."""
    return ORDER.index(name) if name in ORDER else len(ORDER), name


def wrap(formula: str) -> list[str]:
    """Formula as a displayed equation, broken at spaces."""
    lines = textwrap.wrap(formula, WIDTH - 10, break_long_words=False, break_on_hyphens=False)
    return ["", ".. math::", "", *("    " + line for line in lines), ""]


def plain(polynomial: Expr) -> str:
    """Polynomial as read in print: `m³/3 + 2·m·n²`."""
    return str(polynomial).replace("**2", "²").replace("**3", "³").replace("*", "·")


def called(tree: ast.AST) -> set[str]:
    """Names of the functions called in `tree`."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {function.id for function in calls if isinstance(function, ast.Name)}

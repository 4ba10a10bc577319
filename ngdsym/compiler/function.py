"""A torch function under construction: names for nodes, and lines that compute them."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sympy import Expr, MatrixSymbol

from ngdsym.algebra.symbols import MEANING
from ngdsym.compiler.graph import Node, live_nodes, uses
from ngdsym.compiler.text import WIDTH, Argument, canonical

INLINE = 80
"""Longest operands that are written in place instead of getting a name."""


@dataclass
class Function:
    """Arguments and lines of a function.

    Parameters
    ----------
    name : str
        Of the function.
    matrices : set of MatrixSymbol
        Those that may be arguments, with their sizes.
    defaults : mapping of str to Expr
        Values of arguments by name.
    """

    name: str
    matrices: set[MatrixSymbol]
    defaults: Mapping[str, Expr] = field(default_factory=dict)
    arguments: dict[str, Argument] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    uses: Counter[Node] = field(default_factory=Counter)

    def inputs(self, roots: list[Node]) -> None:
        """Declare the matrices and scalars that `roots` need beyond what has a name."""
        shapes = {symbol.name: symbol.shape for symbol in self.matrices}
        nodes = live_nodes(roots, self.names)
        for name in sorted({node.template for node in nodes if node.is_input}, key=canonical):
            size = ", ".join(map(str, shapes[name]))
            self.arguments[name] = Argument("Tensor", f"`[..., {size}]`. {MEANING.get(name, '')}".strip())
        self.scalars({name for node in nodes for name in node.scalars})
        self.names.update({node: node.template for node in nodes if node.is_input})

    def scalars(self, names: set[str]) -> None:
        """Declare scalars, those with defaults last."""
        for name in sorted(names, key=lambda name: (name in self.defaults, *canonical(name))):
            default = repr(float(self.defaults[name])) if name in self.defaults else ""
            self.arguments[name] = Argument("int" if name == "L" else "float", MEANING.get(name, ""), default)

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
        return self.names.get(root) or self.text(root, WIDTH - len("    return "))

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

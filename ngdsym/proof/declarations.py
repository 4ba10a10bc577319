"""The letters of a statement in text, from tables of types and properties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ngdsym.proof.letters import Letters, UndeclaredLetter
from ngdsym.proof.sizes import size
from ngdsym.proof.words import Equation, shape

EXAMPLES = {
    "types": {"A B": ("n", "m")},
    "inverses": {"A": "X"},
    "pinvs": {"A": "X"},
    "positive": {"A": "pd"},
}


def declare(
    types: Mapping[str, Iterable[object]],
    symmetric: Iterable[str] = (),
    inverses: Mapping[str, str] | None = None,
    pinvs: Mapping[str, str] | None = None,
    positive: Mapping[str, str] | None = None,
) -> Letters:
    """Letters from a table `{"A B": ("rows", "cols"), …}`; letters of inverses declare themselves."""
    letters = Letters()
    symmetric = set(symmetric.split() if isinstance(symmetric, str) else symmetric)
    for keyword, table in {"types": types, "inverses": inverses, "pinvs": pinvs, "positive": positive}.items():
        if not isinstance(table or {}, Mapping):
            raise TypeError(f"{keyword}={table!r} is no table: write {keyword}={EXAMPLES[keyword]}")
    inverses, pinvs, positive = dict(inverses or {}), dict(pinvs or {}), dict(positive or {})
    derived = [*inverses.values(), *pinvs.values()]
    kinds: dict[str, tuple[str, ...]] = {}
    for names, kind in types.items():
        if not isinstance(names, str) or not isinstance(kind, (tuple, list)) or len(kind) not in (1, 2):
            raise ValueError(
                f"{names!r} is given the type {kind!r}: write {{'A B': (rows, columns)}}, or (size,) if square"
            )
        sized = tuple(str(size(d)) for d in kind)
        for name in names.split():
            if kinds.setdefault(name, sized) != sized:
                raise ValueError(f"{name} is given two types, {'×'.join(kinds[name])} and {'×'.join(sized)}: keep one")
    known = set(kinds) | set(derived)
    for unknown in sorted((symmetric | set(inverses) | set(pinvs) | set(positive)) - known):
        raise UndeclaredLetter(f"{unknown} is given a property but no type; add it to types")
    for name in sorted(x for x in known if derived.count(x) > 1):
        raise ValueError(
            f"{name} is declared as the inverse of two letters, or in two ways: give each inverse its own "
            "name and equate them in an assumption"
        )
    for name in positive:
        if name in derived:
            raise ValueError(f"{name} is an inverse: declare as positive the letter that it inverts")
    pending = [(base, "⁻¹", name) for base, name in inverses.items()]
    pending += [(base, "⁺", name) for base, name in pinvs.items()]

    def settle() -> None:
        """Declare the inverses of letters that are declared, next to them."""
        while ready := next((entry for entry in pending if entry[0] in letters), None):
            pending.remove(ready)
            base, mark, name = ready
            other = letters.inverse(letters[base], mark, name)
            if kinds.get(name, letters.types[name]) != letters.types[name]:
                raise ValueError(
                    f"{name} is {'×'.join(kinds[name])} in types, but an inverse of {base} is "
                    f"{shape(letters.types[name])}"
                )
            if name in symmetric and other != other.T:
                letters.relations.append(Equation(other, other.T))

    for name, kind in kinds.items():
        if name not in derived:
            letters(name, *kind, symmetric=name in symmetric, positive=positive.get(name))
            settle()
    if pending:
        raise ValueError(
            f"{', '.join(base for base, _, _ in pending)} are inverses of each other: give one of "
            "them a type and declare the other as its inverse"
        )
    return letters

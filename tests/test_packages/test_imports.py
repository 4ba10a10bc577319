"""Modules import each other in one direction, for type checkers too."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from support.paths import ROOT

PARTS = [path for package in ("ngdsym", "ngdnum") for path in (ROOT / package).rglob("*.py")]


def name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Modules that a file names anywhere, under TYPE_CHECKING and inside functions too."""
    found, package = set(), name(path) if path.name == "__init__.py" else name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parent = package.rsplit(".", node.level - 1)[0] if node.level else ""
            module = ".".join(filter(None, (parent, node.module)))
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found - {package, name(path)}


def order(graph: dict[str, set[str]]) -> list[str]:
    return list(TopologicalSorter(graph).static_order())


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = {name(path): path for path in PARTS}
    order({module: imports(path) & modules.keys() for module, path in modules.items()})


def test_the_packages_do_not_know_each_other() -> None:
    for path in PARTS:
        package = name(path).partition(".")[0]
        others = {"ngdsym", "ngdnum"} - {package}
        assert not others & {module.partition(".")[0] for module in imports(path)}, path


def test_a_circle_is_noticed() -> None:
    with pytest.raises(CycleError):
        order({"a": {"b"}, "b": {"a"}})


def test_folders_of_ngdsym_are_in_one_direction() -> None:
    rooms: dict[str, set[str]] = {}
    for path in (ROOT / "ngdsym").rglob("*.py"):
        room = name(path).split(".")[1:2]
        if room and path.parent != ROOT / "ngdsym":
            others = {module.split(".")[1] for module in imports(path) if module.startswith("ngdsym.")}
            rooms.setdefault(room[0], set()).update(others - {room[0]})
    built = {"algebra", "compiler", "rules"}
    order({room: others & built for room, others in rooms.items() if room in built})
    assert rooms["compiler"] <= {"algebra"}


def test_hand_written_modules_take_linear_algebra_from_its_own_file() -> None:
    helpers = {
        f.name for f in ast.parse((ROOT / "ngdnum/rules/linalg.py").read_text()).body if isinstance(f, ast.FunctionDef)
    }
    for path in (ROOT / "ngdnum").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("layer"):
                assert not helpers & {alias.name for alias in node.names}, path

"""Who wants the optimizer installs and loads the optimizer only."""

import subprocess
import sys

import pytest

HEAVY = "flint, matplotlib, mlxtend, rich, scipy, sympy"


@pytest.mark.parametrize("package, may", [("ngdnum", "numpy, torch"), ("ngdsym", "flint, numpy, sympy")])
def test_import_loads_little(package: str, may: str) -> None:
    known = [*HEAVY.split(", "), "torch"]
    code = f"import sys, {package}; print(*sorted(m for m in {known} if m in sys.modules), sep=', ')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert set(filter(None, loaded.split(", "))) <= set(may.split(", "))


def test_the_packages_do_not_know_each_other() -> None:
    for package, other in (("ngdnum", "ngdsym"), ("ngdsym", "ngdnum")):
        code = (
            f"import pkgutil, importlib, sys, {package}\n"
            f"for m in pkgutil.walk_packages({package}.__path__, '{package}.'):\n"
            f"    if not m.name.endswith('__main__'): importlib.import_module(m.name)\n"
            f"assert not any(m.split('.')[0] == '{other}' for m in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

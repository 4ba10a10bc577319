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

"""Who wants the optimizer installs and loads the optimizer only."""

import subprocess
import sys

import pytest

KNOWN = ("flint", "matplotlib", "mlxtend", "ngdnum", "ngdsym", "rich", "scipy", "sympy", "torch")


@pytest.mark.parametrize(
    "package, may", [("ngdnum", "ngdnum, numpy, torch"), ("ngdsym", "flint, ngdsym, numpy, sympy")]
)
def test_import_loads_little(package: str, may: str) -> None:
    code = f"import sys, {package}; print(*sorted(m for m in {KNOWN} if m in sys.modules), sep=', ')"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert package in loaded and set(loaded.split(", ")) <= set(may.split(", "))

#!/bin/sh
# SymPy: the derivative of tr A^(1/2) with respect to A is taken entry by entry.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" sympy==1.14.0
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
import sympy
from sympy import HadamardPower, MatrixSymbol, Rational, Trace
print("sympy", sympy.__version__)
A = MatrixSymbol("A", 2, 2)
seen = Trace(A ** Rational(1, 2)).diff(A)
print("right: A^(-1/2)^T / 2, with matrix powers")
print("seen:", seen)
assert seen.has(HadamardPower), "the behaviour has changed"
END

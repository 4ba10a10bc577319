#!/bin/sh
# SymPy: the derivative of log det X with respect to the matrix X is 0 instead of X^-T.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" sympy==1.14.0
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
import sympy
from sympy import Determinant, MatrixSymbol, ZeroMatrix, log
print("sympy", sympy.__version__)
X = MatrixSymbol("X", 2, 2)
seen = log(Determinant(X)).diff(X)
print("right: X^-T")
print("seen:", seen)
assert seen == ZeroMatrix(2, 2), "the behaviour has changed"
END

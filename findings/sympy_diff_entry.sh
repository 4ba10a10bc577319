#!/bin/sh
# SymPy: the derivative of an entry (X A)[0, 0] with respect to the matrix X is 0 instead of e_0 (A e_0)^T.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" sympy==1.14.0
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
import sympy
from sympy import MatrixSymbol, ZeroMatrix
print("sympy", sympy.__version__)
X, A = MatrixSymbol("X", 2, 2), MatrixSymbol("A", 2, 2)
seen = (X * A)[0, 0].diff(X)
by_entry = (X * A)[0, 0].doit().diff(X[0, 1])
print("right: not zero; with respect to X[0, 1] it is", by_entry)
print("seen:", seen)
assert seen == ZeroMatrix(2, 2) and by_entry == A[1, 0], "the behaviour has changed"
END

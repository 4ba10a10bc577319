#!/bin/sh
# SymPy: `ask` calls a product B C of rectangular matrices not invertible, though B C = 1 is possible.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" sympy==1.14.0
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
import sympy
from sympy import Matrix, MatrixSymbol, Q, ask
print("sympy", sympy.__version__)
B, C = MatrixSymbol("B", 1, 2), MatrixSymbol("C", 2, 1)
answer = ask(Q.invertible(B * C))
print("right: None, for (1, 0) (1, 0)^T =", (Matrix([[1, 0]]) * Matrix([1, 0]))[0], "has an inverse")
print("seen:", answer)
assert answer is False, "the behaviour has changed"
END

#!/bin/sh
# SymPy: with A positive definite and X of full rank, `ask` calls X A X^T positive definite even for a tall X.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" sympy==1.14.0
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
import sympy
from sympy import Matrix, MatrixSymbol, Q, ask
print("sympy", sympy.__version__)
X, A = MatrixSymbol("X", 3, 1), MatrixSymbol("A", 1, 1)
answer = ask(Q.positive_definite(X * A * X.T), Q.positive_definite(A) & Q.fullrank(X))
column = Matrix([1, 0, 0])
print("right: X A X^T with X = (1, 0, 0)^T and A = 1 has the determinant", (column * column.T).det(), "so: not True")
print("seen:", answer)
assert answer is True, "the behaviour has changed"
END

#!/bin/sh
# SymPy: `combine_kronecker` adds Kronecker products factor by factor.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" sympy==1.14.0
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
import sympy
from sympy import Matrix, MatrixSymbol, kronecker_product
from sympy.matrices.expressions.kronecker import KroneckerProduct, combine_kronecker
print("sympy", sympy.__version__)
A, B, C, D = (MatrixSymbol(name, 1, 1) for name in "ABCD")
combined = combine_kronecker(KroneckerProduct(A, B) + KroneckerProduct(C, D))
values = {A: Matrix([[1]]), B: Matrix([[2]]), C: Matrix([[3]]), D: Matrix([[4]])}
print("right: A x B + C x D, for 1, 2, 3, 4:", 1 * 2 + 3 * 4)
print("seen:", combined, "which is", combined.subs(values).doit())
assert combined == KroneckerProduct(A + C, B + D), "the behaviour has changed"
END

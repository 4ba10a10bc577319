#!/bin/sh
# PyTorch: FlopCounterMode counts no FLOPs for addmm_ and baddbmm_, the in-place forms of products that it does count.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" torch==2.13.0 numpy==2.4.6
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
import torch
from torch.utils.flop_counter import FlopCounterMode
print("torch", torch.__version__)
A, B, C = torch.zeros(2, 8, 8), torch.ones(2, 8, 3), torch.ones(2, 3, 8)


def flops(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


right = [flops(lambda: torch.addmm(A[0], B[0], C[0])), flops(lambda: torch.baddbmm(A, B, C))]
seen = [flops(lambda: A[0].addmm_(B[0], C[0])), flops(lambda: A.baddbmm_(B, C))]
print("right:", right)
print("seen:", seen)
assert right == [384, 768] and seen == [0, 0], "the behaviour has changed"
END

#!/bin/sh
# PyTorch: nn.MultiheadAttention has no forward-mode derivative in evaluation mode when no gradients are asked for, even
# where only the math kernel of scaled_dot_product_attention is allowed; in training mode, without dropout, the same
# function has one. torch.backends.mha.set_fastpath_enabled(False) helps.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" torch==2.13.0 numpy==2.4.6
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
import torch
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

print("torch", torch.__version__)
torch.manual_seed(0)
attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
x = torch.randn(2, 3, 8)


def derivative():
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        return jvp(lambda x: attention(x, x, x, need_weights=False)[0], (x,), (torch.ones_like(x),))[1]


expected = derivative()
attention.eval()
try:
    seen = f"a derivative of length {derivative().norm():.4f}"
except NotImplementedError as error:
    seen = f"NotImplementedError: {error}"
torch.backends.mha.set_fastpath_enabled(False)
assert torch.equal(derivative(), expected)
print(f"right, as in training mode: a derivative of length {expected.norm():.4f}")
print("seen in evaluation mode:", seen.splitlines()[0])
assert seen.startswith("NotImplementedError"), "the behaviour has changed"
END

#!/bin/sh
# PyTorch: torch.linalg.eigh raises, or returns NaN, for some finite covariances in float32 (processors with AVX-512,
# by Intel's library); for the same matrices float64, and NumPy in float32, give the eigenvalues.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m pip install --quiet --disable-pip-version-check --target "$folder" torch==2.13.0 numpy==2.4.6
PYTHONPATH="$folder" "${PYTHON:-python3}" - <<'END'
import numpy as np
import torch

torch.set_num_threads(1)
print("torch", torch.__version__, "with", torch.backends.cpu.get_cpu_capability())
raised = nan = count = 0
for seed in range(40):
    torch.manual_seed(seed)
    x = torch.rand(64, 100)
    for layer in [torch.nn.Linear(100, 100) for _ in range(20)]:
        x = torch.relu(layer(x)).detach()
        covariance = x.T @ x / len(x)
        covariance /= covariance.diagonal().mean()
        count += 1
        try:
            failed = not torch.linalg.eigh(covariance).eigenvalues.isfinite().all()
            nan += failed
        except torch.linalg.LinAlgError:
            failed, raised = True, raised + 1
        if failed:
            exact = torch.linalg.eigvalsh(covariance.double()).numpy()
            other = np.linalg.eigvalsh(covariance.numpy())
            assert covariance.isfinite().all() and abs(other - exact).max() < 1e-4 * exact.max()
print("right: 0 raised, 0 with NaN")
print(f"seen: of {count} covariances {raised} raised, {nan} with NaN")
assert raised + nan > 0, "the behaviour has changed, or this processor is of another kind"
END

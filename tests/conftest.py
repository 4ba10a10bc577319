"""Tests, and the notebooks they start, use one thread each unless the user has chosen, so that none waits."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy are imported

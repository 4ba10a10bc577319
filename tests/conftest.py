"""Tests, and the notebooks they start, use one thread each unless the user has chosen, so that none waits."""

import gc
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and NumPy are imported


def pytest_collection_finish() -> None:
    """What is imported by now stays: no later collection of garbage looks through it again."""
    gc.collect()
    gc.freeze()

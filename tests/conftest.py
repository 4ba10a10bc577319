"""Tests compute with one thread: torch's threads fight over matrices this small, all the more on a busy machine."""

from __future__ import annotations

import torch

torch.set_num_threads(1)

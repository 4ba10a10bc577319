"""A character transformer that reads Python's own help."""

from __future__ import annotations

import hashlib
from pathlib import Path
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..data import Examples, Problem
from ..errors import accuracy, cross_entropy
from ..likelihood import Categorical

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))  # anything else is one more character
LENGTH = 400_000  # characters
HELD_OUT = 10_000  # at its end for testing, and as many before for validation
WINDOW = 32
WIDTH, HEADS, BLOCKS = 64, 4, 2


class Block(nn.Module):
    """x + attention of earlier positions, then x + two linear layers with GELU between, each behind a LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.wide = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.first(x)).unflatten(-1, (3, HEADS, WIDTH // HEADS)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.wide(self.second(x))


class Transformer(nn.Module):
    """Logits of the next character at each position, `[M, T, n]`, from characters `[M, T]`."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(len(ALPHABET) + 1, WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(WINDOW, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, len(ALPHABET) + 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.characters(x) + self.places[: x.shape[1]])))


def text() -> str:
    """The beginning of the topics of `help()`, in alphabetic order; other releases of Python have another text."""
    return "\n".join(topics[name] for name in sorted(topics))[:LENGTH]


def windows(characters: str) -> Examples:
    """Pieces of `WINDOW` characters one after the other, `[N, T]`, and the characters that follow each of theirs."""
    numbers = torch.tensor([ALPHABET.find(c) % (len(ALPHABET) + 1) for c in characters])
    count = (len(numbers) - 1) // WINDOW
    return Examples(*(numbers[i : i + count * WINDOW].view(count, WINDOW) for i in (0, 1)))


def chars_problem(seed: int, data: Path | None) -> Problem:
    """Predict each next character of `text`; `seed` decides the initial weights."""
    if data is not None:
        raise ValueError("chars reads the help of Python; leave the data folder out")
    whole = text()
    ends = 0, LENGTH - 2 * HELD_OUT, LENGTH - HELD_OUT, LENGTH
    train, validation, test = (windows(whole[begin:end]) for begin, end in zip(ends, ends[1:]))
    source: dict[str, object] = {
        "kind": "topics of Python's help",
        "train": len(train.x),
        "validation": len(validation.x),
        "test": len(test.x),
        "sha256": hashlib.sha256(whole.encode()).hexdigest(),
    }
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = Transformer()
    return Problem(train, validation, test, model, None, source, Categorical(), cross_entropy, accuracy)

"""Saved optimizers and copies: by name, all of it or nothing, cast to the weights."""

from .saving import Saving

__all__ = ["Saving"]

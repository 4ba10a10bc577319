"""Timings of the symbolic package, side by side with plain code for the same results."""

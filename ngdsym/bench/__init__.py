"""Timings of ngdsym beside its peers: `python -m ngdsym bench`."""

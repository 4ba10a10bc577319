"""Runs that took long, stored as the commands `python -m ngdnum run` and `bench` have written them.

The book shows them, and its pages find them wherever the package is installed.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def recorded(name: str) -> Path:
    """The file of the recorded run `name`.

    Raises
    ------
    FileNotFoundError : no such run; the message lists those there are.

    Examples
    --------
    >>> from ngdnum.results import load
    >>> load(recorded("fig1d.json")).command
    'python -m ngdnum run fig1d --seed 0'
    """
    if not (path := FOLDER / name).is_file():
        names = sorted(file.relative_to(FOLDER).as_posix() for file in FOLDER.rglob("*.json"))
        raise FileNotFoundError(f"there is no recorded run {name!r}; there are {', '.join(names)}")
    return path

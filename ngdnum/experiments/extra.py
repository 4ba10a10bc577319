"""Packages that only the experiments need: where one is missing, what to install."""

from __future__ import annotations

from importlib.util import find_spec

INSTALL = "pip install 'ngd[experiments]'"


def check_installed(package: str, need: str, instead: str = "") -> None:
    """Raise an error that says what `package` is for, and what to do, if it is not installed.

    Raises
    ------
    ModuleNotFoundError : it is not.

    Examples
    --------
    >>> check_installed("no_such_package", "flows need it", "or stay where you are")
    Traceback (most recent call last):
    ModuleNotFoundError: flows need it: pip install 'ngd[experiments]', or stay where you are
    """
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"{need}: {INSTALL}{instead and ', '}{instead}")

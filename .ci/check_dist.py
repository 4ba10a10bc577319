"""Build the sdist, and from it the wheel; try both in an empty folder, with the dependencies of this environment.

    .ci-venv/bin/python .ci/check_dist.py

What is tried sees the packages installed beside this Python, but neither the repository nor its editable install.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/test_packages", "tests/test_ngdsym/test_public.py", "tests/test_ngdnum/test_exactness.py")
BUILD = "import sys, setuptools.build_meta as backend; backend.build_{}(sys.argv[1])"
EXAMPLES = """
import doctest, pathlib, sys
import ngdnum, ngdsym
for package in (ngdnum, ngdsym):
    assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
failed, tried = doctest.testfile(sys.argv[1], module_relative=False, optionflags=options)
assert tried > 10 and not failed
"""
IMPORTS = """
import importlib, pkgutil, sys
package, other = sys.argv[1:]
for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert not any(name.split(".")[0] == other for name in sys.modules), f"{package} imports {other}"
"""
ALONE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(python: str | Path, *arguments: str | Path, folder: Path) -> None:
    subprocess.run((python, *arguments), cwd=folder, check=True, env=ALONE)


def build(kind: str, source: Path, target: Path) -> Path:
    """The wheel or sdist of a folder of sources, alone in the folder `target`."""
    command = (sys.executable, "-c", BUILD.format(kind), target)
    subprocess.run(command, cwd=source, check=True, env=ALONE, stdout=subprocess.DEVNULL)
    (built,) = target.iterdir()
    return built


def check_content(wheel: Path) -> None:
    """The two packages as they are in the repository, no file more or less."""
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    files = [path for package in ("ngdsym", "ngdnum") for path in (ROOT / package).rglob("*") if path.is_file()]
    kept = {str(path.relative_to(ROOT)): path.read_bytes() for path in files if path.suffix != ".pyc"}
    different = {name for name, _ in packed.items() ^ kept.items()}
    assert not different, f"in one of wheel and repository, or different: {sorted(different)[:9]}"
    print(f"{wheel.name}: {len(packed)} files, {wheel.stat().st_size / 1000:.0f} kB")


def environment(folder: Path, wheel: Path) -> Path:
    """The Python of a new environment with this wheel."""
    run(sys.executable, "-m", "venv", folder, folder=ROOT)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--no-index", "--no-deps", wheel, folder=folder)
    beside = [path for path in sys.path if path.endswith("site-packages")]
    (packages,) = folder.glob("lib/python*/site-packages")
    Path(packages, "beside.pth").write_text("\n".join(beside))  # the .pth files there, editable installs, are not read
    return python


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for folder in ("sdist", "wheel", "empty"):
            (home / folder).mkdir()
        sdist = build("sdist", ROOT, home / "sdist")
        with tarfile.open(sdist) as archive:
            archive.extractall(home, filter="data")
        unpacked, empty = home / sdist.name.removesuffix(".tar.gz"), home / "empty"
        wheel = build("wheel", unpacked, home / "wheel")
        check_content(wheel)
        python = environment(home / "environment", wheel)
        run(python, "-c", EXAMPLES, ROOT / "README.md", folder=empty)
        run(python, "-c", IMPORTS, "ngdnum", "ngdsym", folder=empty)
        run(python, "-c", IMPORTS, "ngdsym", "ngdnum", folder=empty)
        run(python, "-m", "ngdsym", "verify", folder=empty)
        run(python, "-m", "ngdsym", "emit", "--check", folder=empty)
        run(python, "-m", "ngdnum", "--help", folder=empty)
        run(python, "-m", "ngdnum", "run", "fig1a", "--samples", "200", folder=empty)
        run(python, "-m", "pytest", "-q", "-o", "addopts=", *TESTS, folder=unpacked)


if __name__ == "__main__":
    main()

"""Folders in which nothing may be written are refused before anything starts."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ngdnum.__main__ import main
from support.processes import apart

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that anybody may read and nobody may change, but for root, with a finished result."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "done.json").write_text("finished")
        (folder / "done.json").chmod(0o666)
        folder.chmod(0o555)
        try:
            yield folder
        finally:
            folder.chmod(0o755)


def command(*arguments: str) -> int:
    """The command, by a user whom permissions bind."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return main(list(arguments))


@pytest.mark.what_if(
    "files and commands",
    "the folder of a result, or of what is kept to go on, is read-only",
    "exit status 2 before anything starts: “cannot be written (Permission denied); give another file”",
)
@pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions of folders do not bind here")
@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "fig1a", "--output", "r.json"),
        ("run", "fig1a"),
        ("run", "fig1a", "--output", "done.json"),
        ("run", "fig1a", "--output", "done.json", "--resume"),
        ("run", "flow", "--output", "r.json"),
        ("bench", "fig1a", "--output", "r.json", "--seeds", "1"),
        ("bench", "fig1a", "--tune", "--settings", "trials.json"),
        ("bench", "step", "--output", "new/r.json"),
    ],
    ids=" ".join,
)
def test_a_folder_that_is_read_only_is_refused_before_anything_starts(folder: Path, arguments: tuple[str, ...]) -> None:
    ended = apart(command, folder, *arguments)
    sentence = r"\n?error: the output '.*' cannot be written \(Permission denied\); give another file\n"
    assert re.fullmatch(sentence, ended.stderr) and ended.returncode == 2 and not ended.stdout
    assert [path.name for path in folder.iterdir()] == ["done.json"]
    assert (folder / "done.json").read_text() == "finished"

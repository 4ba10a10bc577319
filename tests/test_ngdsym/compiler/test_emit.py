"""From a formula to torch code: what is written, what is refused, and a rule of one's own."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys

import pytest

from ngdsym.__main__ import main
from ngdsym.rules import generate
from ngdsym.rules.zoo import FOR_NGD
from support.source import code


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=os.environ | environment)


@pytest.fixture(scope="module")
def emitted() -> dict[str, str]:
    """The text of each file."""
    return generate.sources()


def test_output_does_not_depend_on_hash_seeds(emitted, tmp_path):
    """Of this process, which has another one or a random one, and of the one it starts."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") == "0" else "0"
    done = python("-m", "ngdsym", "emit", "--output", str(tmp_path), PYTHONHASHSEED=seed)
    assert done.returncode == 0, done.stderr
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert sorted(written) == ["control.py", "layer.py", "registry.py"] and written == emitted
    assert all((generate.TARGET / name).read_text(encoding="utf-8") == text for name, text in emitted.items())


def test_check_passes_what_was_just_written(tmp_path, capsys):
    assert main(["emit", "--output", str(tmp_path)]) == 0
    assert main(["emit", "--check", "--output", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.what_if(
    "statements", "a byte of the emitted rules is changed by hand", "`emit --check` shows it and exits with 1"
)
@pytest.mark.parametrize(
    "name, old, new",
    [
        ("control.py", "return 2 * lam / 3", "return 2 * lam / 4"),
        ("layer.py", "return G @ K", "return G @ K.mT"),
        ("registry.py", "layer.sgd_apply", "layer.muon_apply"),
    ],
)
def test_check_shows_each_changed_byte_and_leaves_it(name, old, new, emitted, tmp_path, capsys):
    changed = emitted[name].replace(old, new)
    for file, text in (emitted | {name: changed}).items():
        (tmp_path / file).write_text(text)
    assert main(["emit", "--check", "--output", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    removed, added = ([line for line in out.splitlines()[2:] if line[0] == sign] for sign in "-+")
    assert len(removed) == len(added) == 1 and new in removed[0] and old in added[0]
    assert "run python -m ngdsym emit" in err
    assert (tmp_path / name).read_text() == changed


def test_check_of_missing_files_fails_and_writes_nothing(tmp_path, capsys):
    assert main(["emit", "--check", "--output", str(tmp_path)]) == 1
    assert "def kronecker_factorise" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.what_if(
    "statements",
    "emitting rules fails half way",
    "OSError: “disk full”; the old file stays, and nothing lies beside it",
)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "layer.py"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(generate.os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        generate.write(tmp_path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_answer_not_a_traceback(tmp_path, capsys):
    assert main(["emit", "--output", str(tmp_path / "missing")]) == 2
    assert "missing" in capsys.readouterr().err


def test_the_emitted_rules_are_read_in_one_sitting_and_typed_and_documented(emitted):
    for name, text in emitted.items():
        assert max(map(len, text.splitlines())) <= 120 and len(text.splitlines()) <= 700, name
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef):
                assert ast.get_docstring(function), function.name
                assert function.returns is not None
                assert all(argument.annotation for argument in function.args.args), function.name


def test_no_formula_and_no_body_is_written_twice(emitted):
    functions = [f for f in ast.parse(emitted["layer.py"]).body if isinstance(f, ast.FunctionDef)]
    bodies = [(ast.unparse(f.args), code(f)) for f in functions]
    formulas = [doc.split(".. math::")[1] for f in functions if ".. math::" in (doc := ast.get_docstring(f) or "")]
    assert len(set(bodies)) == len(bodies) and len(set(formulas)) == len(formulas)


def test_the_page_of_the_zoo_shows_every_line_of_every_rule_from_the_file():
    page = json.loads((generate.TARGET.parents[1] / "book" / "zoo.ipynb").read_text())
    text = "".join(next(cell["source"] for cell in page["cells"] if cell["id"] == "zoo-emitted"))
    lines = (generate.TARGET / "layer.py").read_text().splitlines()
    shown = re.findall(
        r"dropdown} (\w+)\n```{literalinclude} \.\./ngdnum/rules/layer\.py\n.*\n:start-at: (.*)\n:end-before: (.*)",
        text,
    )
    assert [name for name, *_ in shown] == [rule.name for rule in FOR_NGD]
    at = [next(i for i, line in enumerate(lines) if start in line) for _, start, _ in shown]
    end = [next(j for j, line in enumerate(lines) if j > i and stop in line) for i, (*_, stop) in zip(at, shown)]
    assert end[:-1] == at[1:]
    for (name, *_), i, j in zip(shown, at, end):
        heads = [line for line in lines[i:j] if re.match(r"(def )?[a-z]\w+( = |\()", line)]
        assert heads and all(re.match(rf"(def )?{name}_", line) for line in heads)

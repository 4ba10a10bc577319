"""Certificate files with one thing wrong anywhere are refused by name, or still prove what they claim."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ngdsym.theorems.stored import read_certificates, write_certificates
from ngdsym.theorems.theorem import CERTIFICATES
from support.damage import DAMAGE, changed, places

NAME = "layer-flow"
(LINE,) = (line for line in CERTIFICATES.read_text(encoding="utf-8").splitlines() if line.startswith(f'{{"{NAME}":'))
CONTENT = json.loads(LINE)[NAME]


@pytest.mark.what_if(
    "certificates",
    "any one entry of a certificate file is missing, NaN, text, negative or cut",
    "ValueError with the name of the file, or the certificates in it check",
)
@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_certificate_file_is_refused_by_name_or_checks(tmp_path: Path, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(list(places(CONTENT))), "place")
    damaged = changed(CONTENT, place, DAMAGE[data.draw(st.sampled_from(list(DAMAGE)), "damage")])
    path = tmp_path / "certificates.jsonl"
    path.write_text(json.dumps({NAME: damaged}) + "\n", encoding="utf-8")
    try:
        found = read_certificates(path, NAME, [""])
    except ValueError as error:
        assert path.name in str(error) and NAME in str(error)
    else:
        assert list(found) == [""] and found[""].check()


def test_what_is_written_is_read_and_other_lines_stay(tmp_path: Path) -> None:
    path = tmp_path / "certificates.jsonl"
    before = CERTIFICATES.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(line for line in before if line != LINE + "\n"), encoding="utf-8")
    assert read_certificates(path, NAME, [""]) == {}
    write_certificates(path, NAME, read_certificates(CERTIFICATES, NAME, [""]))
    assert path.read_text(encoding="utf-8").splitlines(keepends=True) == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_file_that_is_gone_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "certificates.jsonl"
    assert read_certificates(path, NAME, [""]) == {}
    write_certificates(path, NAME, read_certificates(CERTIFICATES, NAME, [""]))
    assert path.read_text(encoding="utf-8") == LINE + "\n"

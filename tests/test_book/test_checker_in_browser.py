"""The book's checker in JavaScript says what the package's says, on all certificates and on forgeries.

Needs node. Without it the same script is still run by `.ci/check_pages.py`, in Chromium, on all certificates."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys

import pytest

from ngdsym import prove
from ngdsym.proof.certificate import Certificate
from support.forgeries import SQUARE, forgeries, positivity_forgeries
from support.paths import ROOT

CHECKER = ROOT / "book" / "_static" / "certificate" / "checker.js"
sys.path.insert(0, str(ROOT / "book" / "_ext"))

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def in_javascript(certificates: dict[str, dict], call: str) -> object:
    """What `call` returns in JavaScript, where `data` are the certificates."""
    program = (
        f"require({json.dumps(str(CHECKER))}); const {{ refusal, selfTest }} = globalThis.ngdCertificates;"
        "const data = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
        f"console.log(JSON.stringify({call}));"
    )
    done = subprocess.run(
        ["node", "-e", program], input=json.dumps(certificates), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def refusals(certificates: dict[str, dict]) -> dict[str, str | None]:
    return in_javascript(
        certificates, "Object.fromEntries(Object.entries(data).map(([name, d]) => [name, refusal(d)]))"
    )


def penrose() -> dict:
    return prove(
        ["A X A = A", "X A X = X", "X' A' = A X", "A' X' = X A"],
        ["A' A X = A'", "X X' A' = X"],
        types={"A": ("m", "n"), "X": ("n", "m")},
    ).data


def forged(data: dict, kinds: dict) -> dict[str, dict]:
    made = {}
    for name, forge in kinds.items():
        made[name] = copy.deepcopy(data)
        forge(made[name])
    return made


def test_every_committed_certificate_is_accepted_and_its_forgeries_are_refused() -> None:
    from certificate_checker import committed

    certificates = committed()
    assert len(certificates) > 100
    assert in_javascript(certificates, "selfTest(data, 4)") == []


def test_the_same_forgeries_are_refused() -> None:
    proofs = {
        "penrose": penrose(),
        "positive": prove(["A' P A B = 0"], "A B = 0", **SQUARE).data,
        "trace": prove(["U' U = 1"], "U U' = 1", types={"U": ("n", "n")}).data,
    }
    assert refusals(proofs) == dict.fromkeys(proofs)
    for proof, kinds in (("penrose", forgeries()), ("positive", positivity_forgeries())):
        made = forged(proofs[proof], kinds)
        answers = refusals(made)
        assert [name for name, answer in answers.items() if answer is None] == []
        assert not any(Certificate(data).check() for data in made.values())


def test_sizes_and_traces_are_not_mixed_up() -> None:
    data = prove(["U' U = 1"], "U U' = 1", types={"U": ("n", "n")}).data
    data = json.loads(json.dumps(data))
    for name, kind in data["letters"].items():
        kind[:2] = ["m", "n"] if name == "U" else ["n", "m"]
    data.pop("witness", None)
    doubled = prove(["X A = 1"], "X A X A = 1", types={"A": ("2n", "n"), "X": ("n", "2 n")}).data
    wrong = {**doubled, "witness": {"sizes": {"2*n": 1, "n": 1}, "matrices": {"A": [["1"]], "X": [["1"]]}}}
    answers = refusals({"rectangular": data, "doubled": doubled, "wrong": wrong})
    assert answers["rectangular"] and answers["doubled"] is None and "2*n = 1" in answers["wrong"]


@pytest.mark.parametrize("change", [{"axioms": []}, {"lemmas": [{"induction": []}]}])
def test_what_is_not_known_is_refused(change: dict) -> None:
    assert "does not know" in refusals({"new": {**penrose(), **change}})["new"]


def test_ill_typed_cofactors_that_cancel_and_letters_that_disagree_are_refused() -> None:
    cancelling, disagreeing = copy.deepcopy(penrose()), copy.deepcopy(penrose())
    cancelling["cofactors"][0] += [[c, ["X", "A"], 0, 0, ["X"]] for c in ("1", "-1")]
    disagreeing["letters"] |= {"B": ["m", "n", "B'"], "B'": ["m", "n", "B"]}
    disagreeing.pop("witness")
    answers = refusals({"cancelling": cancelling, "disagreeing": disagreeing})
    assert "ill-typed cofactor" in answers["cancelling"] and "disagree" in answers["disagreeing"]

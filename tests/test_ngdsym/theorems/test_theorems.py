"""Every theorem passes all its checks, and each check refuses every wrong variant of its theorem."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ngdsym.__main__ import main
from ngdsym.proof.certificate import Certificate
from ngdsym.proof.problem import Problem
from ngdsym.proof.prover import certify
from ngdsym.proof.translate import translate
from ngdsym.theorems import UnknownTheorem, theorems
from ngdsym.theorems.theorem import CERTIFICATES, Theorem
from ngdsym.theorems.verify import verify
from support import identities
from support.counting import function_calls
from support.rational_points import RationalPoint

ALL = theorems()
CASES = [pytest.param(t, check, id=f"{name}-{check}") for name, t in ALL.items() for check in t.checks]
DENIED = ["inverse-differs-singular", "reverse-order-law-fails", "pseudo-inverse-not-covariant"]
CERTIFIED = [pytest.param(t, id=name) for name, t in ALL.items() if "certificate" in t.checks]


@pytest.mark.parametrize("theorem, check", CASES)
def test_passes(theorem: Theorem, check: str) -> None:
    outcome = theorem.check(check)
    assert outcome.passed, outcome


@pytest.mark.what_if(
    "certificates", "a theorem is stated with a wrong sign, transpose, factor or index", "each of its checks refuses it"
)
@pytest.mark.parametrize("theorem, check", CASES)
def test_wrong_variants_are_refused(theorem: Theorem, check: str) -> None:
    assert len(theorem.wrong) >= 2
    for claim in theorem.wrong:
        assert not theorem.check(check, claim).passed, f"{check} accepts {claim}"


@pytest.mark.parametrize("theorem", CERTIFIED)
def test_forged_certificates_are_refused(theorem: Theorem) -> None:
    data = next(c for c in theorem.certificates.values() if c.cofactors).data
    proof = next(k for k, cofactors in enumerate(data["cofactors"]) if cofactors)
    assert Certificate(data).check()
    changed, dropped, untyped = (copy.deepcopy(data) for _ in range(3))
    changed["cofactors"][proof][0][0] = "7/3"
    del dropped["cofactors"][proof][0]
    untyped["letters"] = {x: ["a", "b", t] for x, (_, _, t) in data["letters"].items()}
    for forged in (changed, dropped, untyped):
        assert not Certificate(forged).check()


def test_breadth() -> None:
    assert len(ALL) >= 90 and len(CERTIFIED) >= 60


def test_every_missing_check_has_a_reason() -> None:
    for theorem in ALL.values():
        assert set(theorem.checks) | set(theorem.missing) == {"symbolic", "certificate", "numeric"}
        assert all(len(reason) > 20 for reason in theorem.missing.values())


def test_certificates_are_cheap_to_check() -> None:
    """A hundredth of a second each."""
    for theorem in ALL.values():
        vars(theorem).pop("certificates", None)
    found = []
    assert function_calls(lambda: found.append(verify(checks=["certificate"]))) < 24_000 * len(ALL)
    assert found[0].passed


def test_a_proof_for_many_layers_is_found_without_detours() -> None:
    """2 L − 1 terms and no lemma, though there are more rules than a short statement ever has."""
    assumes, claims = ALL["product-rule"].instances(16)
    found = certify(Problem(*translate(list(assumes), list(claims))))
    assert found.cofactors == 31 and not found.lemmas


@pytest.mark.parametrize("name", DENIED)
def test_a_denied_identity_has_a_counterexample_that_checks(name: str) -> None:
    found = ALL[name].counterexample()
    assert found.check()
    zero = {letter: [[0 * c for c in row] for row in rows] for letter, rows in found.matrices.items()}
    broken = replace(found, matrices=zero)
    assert not broken.check()


def test_counterexample_needs_a_denied_identity() -> None:
    with pytest.raises(ValueError, match="denies no identity"):
        ALL["layer-flow"].counterexample()


def test_the_counterexample_of_the_stopped_flow_is_what_the_text_says() -> None:
    stop = ALL["weight-flow-can-stop"]
    exact = stop.instance()
    w = {str(letter): value for letter, value in exact.values.items()}
    assert 4 * w["w_t"] == w["w_1"] * w["w_2"] - 3 * w["w_1"] * w["w_2"] < 0 < w["ratio"]


@pytest.mark.parametrize(
    "sizes, wide",
    [
        ((2, 1, 2), False),
        ((3, 2, 1), False),
        ((2, 2, 2), True),
        ((1, 3, 2), True),
        ((3, 2, 2, 3), False),
        ((2, 3, 4, 2), True),
    ],
)
def test_trace_criterion_in_symbols(sizes: tuple[int, ...], wide: bool) -> None:
    point = RationalPoint(sizes)
    assert identities.trace_criterion(point) and identities.paper_inverse(point) == wide


def test_an_instance_that_breaks_its_hypotheses_is_an_error() -> None:
    flow = ALL["layer-flow"]
    broken = replace(flow, recipes={})
    with pytest.raises(ValueError, match="does not satisfy"):
        broken.instance()


@pytest.mark.what_if("statements", "the name of a theorem is misspelt", "UnknownTheorem names near ones: “layer-flow”")
def test_unknown_name_lists_near_ones() -> None:
    with pytest.raises(UnknownTheorem, match="layer-flow"):
        theorems(["layer-flwo"])


def test_json_is_one_object(capsys: pytest.CaptureFixture) -> None:
    assert main(["verify", "--json", "layer-flow", "trace-criterion"]) == 0
    said = capsys.readouterr().out
    flow, trace = json.loads(said)["statements"]
    assert said.isascii() and "\\u" in said  # any terminal takes it
    assert flow["passed"] and flow["equations"] == ["10", "17", "18"]
    assert flow["checks"]["certificate"]["cofactors"] > 0 and flow["checks"]["numeric"]["max_error"] < 1e-9
    assert set(trace["checks"]) == {"symbolic", "numeric"} and "certificate" in trace["missing"]


def test_unknown_name_on_the_command_line(capsys: pytest.CaptureFixture) -> None:
    assert main(["verify", "layer-flwo"]) == 2
    printed, told = capsys.readouterr()
    assert "layer-flow" in told and not printed


@pytest.mark.what_if(
    "certificates",
    "a certificate file is damaged",
    "`verify` and `show` name it: “certificates.jsonl holds no certificates of layer-flow: ”; exit status 2",
)
@pytest.mark.parametrize("command", ["verify", "show"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda line: line[:200], "the line is no JSON"),
        (lambda line: '{"layer-flow": [3]}', "it must have an entry for each of ''"),
        (lambda line: '{"layer-flow": {"": {}, "1": {}}}', "it must have an entry for each of ''"),
        (lambda line: '{"layer-flow": {"": 3}}', "the entry '' does not check (malformed certificate"),
        (lambda line: line.replace('"cofactors"', '"factors"'), "malformed certificate: KeyError('cofactors')"),
        (lambda line: line.replace('"-1"', '"1"'), "the entry '' does not check (the cofactors leave over"),
    ],
)
def test_a_damaged_certificate_file_is_named(
    command: str,
    damage: Callable[[str], str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    lines = CERTIFICATES.read_text(encoding="utf-8").splitlines()
    damaged = (damage(line) if line.startswith('{"layer-flow":') else line for line in lines)
    path = tmp_path / "certificates.jsonl"
    path.write_text("\n".join(damaged), encoding="utf-8")
    monkeypatch.setattr(sys.modules["ngdsym.theorems.theorem"], "CERTIFICATES", path)
    fresh = {"layer-flow": replace(ALL["layer-flow"])}
    monkeypatch.setattr(sys.modules["ngdsym.theorems.verify"], "theorems", lambda names: fresh)
    monkeypatch.setattr(sys.modules["ngdsym.theorems"], "theorems", lambda names: fresh)
    assert main([command, "layer-flow"]) == 2
    shown = capsys.readouterr()
    assert (
        shown.out == ""
        and "certificates.jsonl holds no certificates of layer-flow: " in shown.err
        and message in shown.err
    )


def test_show_prints_statement_and_certificate(capsys: pytest.CaptureFixture) -> None:
    assert main(["show", "layer-flow"]) == 0
    shown = capsys.readouterr().out
    assert "Wstar" in shown and "Certificate" in shown and "S*B = I" in shown


def test_the_command_line_exits_1_when_a_theorem_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    flow = ALL["layer-flow"]
    for claims, code in ((flow.wrong[:1], 1), (flow.claims, 0)):
        stated = {"layer-flow": replace(flow, claims=claims)}
        monkeypatch.setattr(sys.modules["ngdsym.theorems.verify"], "theorems", lambda names: stated)
        assert main(["verify", "--json", "layer-flow"]) == code
        assert json.loads(capsys.readouterr().out)["statements"][0]["passed"] == (code == 0)


def test_a_failing_check_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = ALL["layer-flow"]
    false = replace(flow, claims=flow.wrong[:1])
    monkeypatch.setattr(sys.modules["ngdsym.theorems.verify"], "theorems", lambda names: {"layer-flow": false})
    report = verify(["layer-flow"])
    assert not report.passed and not any(o.passed for o in report.outcomes["layer-flow"].values())

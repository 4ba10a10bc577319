"""What is said of a rule, against theory and against the emitted code on random networks."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from sympy import Identity, MatrixSymbol, Rational, Symbol, expand, sqrt
from sympy.parsing.sympy_parser import implicit_multiplication, parse_expr, standard_transformations
from torch.utils.flop_counter import FlopCounterMode

from ngdnum.rules import layer as rules
from ngdsym import Rule
from ngdsym.algebra.symbols import PD, PSD, G, L, Lambda, Lambda_tilde, Pinv, Polar, lam, m, n, n_0, n_L
from ngdsym.rules import network_rule
from ngdsym.rules.claims import Counterexample, emitted_step, following, homogeneous, natural, relative
from ngdsym.rules.evaluate import LinearInstance, evaluate
from ngdsym.rules.network_rule import exact
from ngdsym.rules.properties import BOTTLENECK, SQUARE, WIDE, compare
from ngdsym.rules.table import Table
from ngdsym.rules.zoo import ZOO, C

RULES = {rule.name: rule for rule in ZOO}
step_of = cache(emitted_step)
E, X = PD("Lambda_tilde", n, n), PD("Lambda", m, m)
GROUPS = {"general_linear", "orthogonal", "scalar"}

solves = m**3 / 3 + n**3 / 3, 2 * m**2 * n + 2 * m * n**2
roots = 11 * m**3 + 11 * n**3, 2 * m**2 * n + 2 * m * n**2
c_m, c_n, r_E, r_X, r_C, r_XC = (
    Symbol(name, positive=True) for name in ("c_m", "c_n", "r_Lambda_tilde", "r_Lambda", "r_C", "r_Lambda_C")
)
rotations = 9 * m**3 + 9 * n**3, 4 * m**2 * n + 4 * m * n**2
ALL, RIGID = GROUPS, {"orthogonal"}
THEORY = {
    # exact on wide nets, groups it follows, degree in the loss, λ → ∞, FLOPs of factorise and apply
    "sgd": (False, RIGID, 1, "not damped", (0, 0)),
    "natural": (True, ALL, 0, "not damped", solves),
    "kronecker": (True, RIGID, False, G / (L * lam), solves),
    "pi_damped": (True, RIGID, False, G / (L * lam), solves),
    "kfac": ("L times", RIGID, False, G / lam, solves),
    "whitening": (False, RIGID, False, G / lam, roots),
    "foof": (False, RIGID, 1, G / lam, (m**3 / 3, 2 * m**2 * n)),
    "pseudo_backprop": (
        True,
        {"orthogonal", "scalar"},
        0,
        "not damped",
        (22 * m**2 * n_0 + 22 * n * n_L**2 + 2 * m * n_0**2 + n_0**3 / 3, 2 * m * n_L * (n + n_0)),
    ),
    "shampoo": (False, RIGID, False, G / sqrt(lam), roots),
    "muon": (False, RIGID, 0, "not damped", (0, 22 * m * n**2)),
    "fisher_muon": (
        False,
        RIGID,
        False,
        Polar(G) / lam,
        (roots[0], 4 * m**2 * n + 26 * m * n**2),
    ),
    "fisher_shampoo": (
        False,
        RIGID,
        False,
        G * (C + Identity(m) * 3 / 10) ** Rational(-1, 2) / (L * lam),
        (
            12 * c_m * m**2
            + 20 * c_m**2 * m
            + 6 * c_n * n**2
            + 10 * c_n**2 * n  # pairs of both factors and of C
            + 4 * m * n * (r_E + r_X)
            + 2 * m**2 * n  # the whitened gradient and its Gram
            + 8 * m * (r_X + r_C) ** 2,  # roots of the factor and of C
            4 * m * n * (r_E + r_XC) + 2 * r_E * r_XC * (m + n),
        ),
    ),
    "asgo": (False, RIGID, False, G / sqrt(lam), (11 * m**3, 2 * m**2 * n)),
    "newton_muon": (False, RIGID, 0, Polar(G), (m**3 / 3, 2 * m**2 * n + 22 * m * n**2)),
    "fismo": (False, RIGID, False, Polar(G) / lam, (roots[0], 4 * m**2 * n + 26 * m * n**2)),
    "mousse": (False, RIGID, False, Polar(G) / lam ** Rational(1, 4), (roots[0], 4 * m**2 * n + 26 * m * n**2)),
    "pmuon": (False, RIGID, False, Polar(G), (roots[0], 2 * m**2 * n + 24 * m * n**2)),
    "splus": (False, RIGID, 0, "not damped", (9 * m**3 + 9 * n**3, 4 * m**2 * n + 4 * m * n**2)),
    "amsgrad": (False, set(), False, G / lam, (4 * m * n, m * n)),
    "adadelta": (False, set(), False, G, (5 * m * n, m * n)),
    "sign_descent": (False, set(), 0, "not damped", (0, 0)),
    "adagrad": (False, set(), False, G / lam, (3 * m * n, m * n)),
    "ekfac": (False, RIGID, False, G / lam, rotations),
    "soap": (False, RIGID, False, G / lam, rotations),
    "tikhonov": (None, RIGID, False, G / (L * lam), rotations),
    "running": (True, ALL, 0, "not damped", (0, solves[1])),
}


@pytest.mark.parametrize("name", RULES)
def test_answers_are_those_of_theory(name):
    found = RULES[name].properties()
    wide, groups, degree, limit, flops = THEORY[name]
    assert found.exact_wide.answer == wide
    assert found.exact_any.answer is False
    assert {group for group in GROUPS if getattr(found, group).answer} == groups
    assert found.loss_degree.answer == degree
    assert found.overdamped.answer == limit
    answers = found.factorise_flops.answer, found.apply_flops.answer
    assert [expand(answer) for answer in answers] == [expand(count) for count in flops]


@pytest.mark.parametrize("name", RULES)
def test_every_no_has_a_counterexample_that_the_emitted_code_repeats(name):
    for finding in RULES[name].properties().findings:
        assert (finding.answer is False) == (finding.counterexample is not None), finding.question
        if finding.counterexample:
            assert finding.counterexample.distance > 0.05
            assert finding.counterexample.check()


# --- every yes, on random networks by the emitted code --------------------------------------------


def random_bases(sizes, group, seed=7):
    draw = np.random.default_rng(seed)
    bases = [draw.standard_normal((size, size)) for size in sizes]
    if group == "orthogonal":
        bases = [np.linalg.qr(base)[0] for base in bases]
    elif group == "scalar":
        bases = [np.exp(draw.standard_normal()) * np.eye(size) for size in sizes]
    return [np.eye(sizes[0]), *bases[1:-1], np.eye(sizes[-1])]


@pytest.mark.parametrize("group", sorted(GROUPS))
@pytest.mark.parametrize("name", RULES)
def test_a_rule_follows_a_group_of_basis_changes_exactly_if_it_says_so(name, group):
    rule = RULES[name]
    network = LinearInstance.random(SQUARE, 5)
    distance = relative(*following(random_bases(SQUARE, group))(step_of(rule), network))
    # with square invertible weights pseudo-inverses are inverses, which follow every change of basis
    follows = getattr(rule.properties(), group).answer or rule.expression.has(Pinv)
    assert (distance < 1e-8) == follows


@pytest.mark.parametrize("name", [name for name in RULES if THEORY[name][0]])
def test_an_exact_rule_makes_the_natural_change(name):
    rule = RULES[name].undamped or RULES[name]
    sizes = WIDE if rule.expression.has(Pinv) else SQUARE
    network = LinearInstance.random(sizes, 6)
    step = step_of(rule)
    change = network.change([step(network, i) for i in range(1, len(sizes))])
    times = len(sizes) - 1 if THEORY[name][0] == "L times" else 1
    assert relative(change, times * network.natural_change()) < 1e-8


def test_natural_change_is_the_residual_where_nothing_is_lost_and_less_behind_a_bottleneck():
    wide, narrow = LinearInstance.random(WIDE, 1), LinearInstance.random(BOTTLENECK, 1)
    assert relative(wide.natural_change(), wide.Z) < 1e-10
    assert relative(narrow.natural_change(), narrow.Z) > 0.1


@pytest.mark.parametrize("name", [name for name in RULES if THEORY[name][2] is not False])
def test_degree_in_the_loss(name):
    network, step = LinearInstance.random(SQUARE, 8), step_of(RULES[name])
    assert relative(step(network.scaled(3.0), 2), 3.0 ** int(THEORY[name][2]) * step(network, 2)) < 1e-9


@pytest.mark.parametrize("name", [name for name in RULES if THEORY[name][3] != "not damped"])
def test_limit_of_large_damping(name):
    network = LinearInstance.random(SQUARE, 9)
    distances = [
        relative(*(network.update(e, 2, damping) for e in (RULES[name].settled().expression, THEORY[name][3])))
        for damping in (1e6, 1e8)
    ]
    assert distances[0] < 0.1 and distances[1] < 0.2 * distances[0]


@pytest.mark.parametrize("name", ["whitening", "running", "pseudo_backprop", "kronecker_undamped"])
def test_flops_of_apply_are_those_that_torch_counts(name):
    sizes = {"n": 6, "m": 10, "n_0": 7, "n_L": 4}
    shapes = {
        "G": "nm",
        "Lambda_tilde": "nn",
        "Lambda": "mm",
        "K_tilde": "nn",
        "K": "mm",
        "D": ("n_L", "n_0"),
        "A": ("n_L", "n"),
        "B": ("m", "n_0"),
        "Sigma": ("n_0", "n_0"),
    }
    rule = RULES[name.removesuffix("_undamped")]
    rule = rule.undamped if name.endswith("_undamped") else rule
    eye = {key: torch.eye(sizes[a], sizes[b], dtype=torch.float64) for key, (a, b) in shapes.items()}
    given = eye | {"lam": 0.1, "L": 3}

    def call(function, *first):
        names = function.__code__.co_varnames[len(first) : function.__code__.co_argcount]
        return function(*first, **{key: given[key] for key in names})

    state = call(getattr(rules, f"{name}_factorise"))
    with FlopCounterMode(display=False) as counter:
        call(getattr(rules, f"{name}_apply"), given[rule.gradient.name], state)
    assert counter.get_total_flops() == rule.flops()[1].subs(dict(zip((n, m, n_0, n_L), sizes.values())))


# --- wrong rules, wrong counterexamples -----------------------------------------------------------


@pytest.mark.parametrize(
    "expression, wide",
    [
        (E.I * G * X.I, "L times"),
        (2 * E.I * G * X.I / L, "2 times"),
        (-E.I * G * X.I / L, "-1 times"),
        (E * G * X.I / L, False),
        (E.I * G * X**-2 / L, False),
        (Pinv(Lambda_tilde) * G / L, False),
    ],
    ids=str,
)
def test_wrong_variants_of_the_natural_gradient(expression, wide):
    found = Rule("wrong", expression).properties().exact_wide
    assert found.answer == wide


@pytest.mark.parametrize(
    "rule, sides, sizes",
    [
        ("natural", natural, SQUARE),
        ("natural", following(random_bases(SQUARE, "general_linear")), SQUARE),
        ("sgd", following(random_bases(SQUARE, "orthogonal")), SQUARE),
        ("foof", homogeneous, SQUARE),
    ],
)
def test_a_false_counterexample_is_refused(rule, sides, sizes):
    forged = Counterexample.to("something true", RULES[rule], LinearInstance.random(sizes, 1), sides)
    assert not forged.check()


def test_square_roots_cancel_across_a_polar_factor():
    """The undamped Muon in the Fisher metric follows every change of basis, though no root does."""
    left, right = E ** Rational(-1, 2), X ** Rational(-1, 2)
    definite, without = Rule("d", left * Polar(left * G * right) * right), Rule("w", left * G * right)
    assert definite.properties().general_linear.answer is True
    assert without.properties().general_linear.answer is False
    network, bases = LinearInstance.random(SQUARE, 2), random_bases(SQUARE, "general_linear")
    assert relative(*following(bases)(emitted_step(definite), network)) < 1e-8


# --- the exact rule -------------------------------------------------------------------------------


def test_the_exact_rule_is_exact_for_any_widths_and_says_by_which_theorems():
    found = exact.properties()
    assert found.exact_wide.answer is found.exact_any.answer is True
    assert "exact-rule-shares" in found.exact_any.why
    answers = found.general_linear.answer, found.orthogonal.answer, found.scalar.answer
    assert answers == (False, True, True) and found.loss_degree.answer == 0
    assert found.general_linear.counterexample.distance > 0.05
    assert found.general_linear.counterexample.check()


def test_without_its_certificates_nothing_is_claimed(monkeypatch):
    monkeypatch.setattr(network_rule, "certified", lambda: False)
    assert exact.properties().exact_any.shown == "undecided"


@pytest.mark.parametrize("sizes", [BOTTLENECK, WIDE, SQUARE, (3, 2, 1, 2, 2), (5, 3, 2, 3, 5), (4, 2)])
def test_every_layer_of_the_exact_rule_moves_the_map_alike_in_formula_and_code(sizes):
    network, code = LinearInstance.random(sizes, 3), network_rule.emitted_step()
    layers = range(1, len(sizes))
    for i in layers:
        found, expected = (
            network.change([step(network, j) * (j == i) for j in layers]) for step in (code, network_rule.step)
        )
        assert relative(found, expected) < 1e-9


@pytest.mark.parametrize("step", [network_rule.step, network_rule.emitted_step()], ids=["formula", "code"])
@pytest.mark.parametrize("sizes", [BOTTLENECK, WIDE, SQUARE, (3, 2, 1, 2, 2), (5, 3, 2, 3, 5), (4, 2)])
def test_formula_and_code_of_the_exact_rule_make_the_natural_change(step, sizes):
    network = LinearInstance.random(sizes, 3)
    change = network.change([step(network, i) for i in range(1, len(sizes))])
    assert relative(change, network.natural_change()) < 1e-9


@pytest.mark.parametrize("group", ["orthogonal", "scalar"])
def test_the_exact_rule_follows_orthogonal_and_scalar_bases_behind_a_bottleneck(group):
    sizes = (4, 3, 2, 3, 4)
    sides = following(random_bases(sizes, group))
    for step in (network_rule.step, network_rule.emitted_step()):
        assert relative(*sides(step, LinearInstance.random(sizes, 4))) < 1e-9


# --- messages and tables --------------------------------------------------------------------------


def test_a_matrix_without_meaning_is_named():
    with pytest.raises(ValueError, match="what H means is not known.*known are G, Lambda_tilde"):
        Rule("mine", G * PSD("H", m, m)).properties()


def test_a_free_scalar_needs_a_number():
    beta = Symbol("beta", positive=True)
    with pytest.raises(ValueError, match="depends on beta: give numbers, as in expression.subs"):
        Rule("mine", beta * G).properties()
    assert Rule("mine", (beta * G).subs(beta, 2)).properties().loss_degree.answer == 1


def test_without_a_limit_for_small_damping_exactness_is_undecided():
    found = Rule("mine", G / lam).properties()
    assert found.exact_wide.answer is found.exact_any.answer is None
    assert "1/lambda has no limit for λ → 0" in found.exact_wide.why


def test_an_unknown_limit_is_undecided_with_the_reason():
    found = Rule("mine", G * (lam * Lambda + Identity(m)).I).properties().overdamped
    assert found.answer is None and found.shown == "undecided"
    assert "no limit known" in found.why


def test_numbers_of_an_unknown_expression_are_refused():
    with pytest.raises(TypeError, match="no numbers for"):
        evaluate(MatrixSymbol("A", 2, 2).as_explicit(), {}, {Symbol("x"): 1.0})


def test_table_has_a_row_for_each_rule_and_a_column_for_each_question():
    table = compare([*ZOO, exact])
    assert [row[0] for row in table.rows] == [*RULES, "exact"]
    assert all(len(row) == len(table.header) for row in table.rows)
    page = table._repr_html_()
    assert page.count("<tr>") == len(ZOO) + 2 and r"\lambda" in page
    assert "counterexample" in RULES["sgd"].properties()._repr_html_()


def test_a_terminal_shows_a_table_with_its_columns_aligned():
    table = Table(["rule", "cost"], [["natural", m * n], ["sgd", "0"]])
    lines = repr(table).splitlines()
    assert lines == ["rule     cost", "-------  ----", "natural  m*n", "sgd      0"] == str(table).splitlines()


def test_long_sums_in_a_table_are_formulas_between_which_a_line_can_end():
    short, long = m + n + n_0, m**2 - n + 3 * n_0 - 2 * n_L + m * n
    page = Table(["cost"], [[short], [long]])._repr_html_()
    _, first, second = page.split("<tr><td>")
    assert first.count(r"\(") == 1 and second.count(r"\(") == 5
    terms = [part.partition(r"\)")[0].replace("{}", "") for part in second.split(r"\(")[1:]]
    text = "".join(terms).replace("^", "**").replace("{", "").replace("}", "").replace("_0", "0").replace("_L", "L")
    names = {"m": m, "n": n, "n0": n_0, "nL": n_L}
    assert parse_expr(text, names, (*standard_transformations, implicit_multiplication)) == long

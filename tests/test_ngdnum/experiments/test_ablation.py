"""One part of the algorithm changed at a time: what is changed, and that nothing else is."""

from __future__ import annotations

from ngdnum.experiments.ablation import VARIANTS, ablate


def test_every_variant_changes_something_and_knows_its_part() -> None:
    base, *others = VARIANTS.values()
    assert base.M == 1_000 and not base.options
    for variant in others:
        assert variant.options or variant.M != base.M
        assert variant.part != base.part
    assert len({str((variant.M, variant.options)) for variant in VARIANTS.values()}) == len(VARIANTS)


def test_short_runs_differ_and_are_the_same_again() -> None:
    names = ("as in the paper", "K = 4", "M = 200", "π", "best length")
    first, again = (ablate(figures=("A",), variants=names, samples=4_000, seeds=1, progress=False) for _ in range(2))
    assert first.rows == again.rows and [row["variant"] for row in first.rows] == list(names)
    ends = first.values("end")
    assert len(set(ends)) == len(names) and all(row["samples"] is None for row in first.rows if row["end"] > 1.5)


def test_smaller_batches_need_fewer_examples_and_too_little_damping_makes_the_loss_jump() -> None:
    names = ("as in the paper", "M = 200", "λ = 1e-6 at first")
    result = ablate(figures=("A",), variants=names, samples=12_000, seeds=1, progress=False)
    (small,) = result.values("samples", variant="M = 200")
    assert small <= 12_000 and not result.values("samples", variant="as in the paper")
    (calm,), (wild,) = (result.values("worst", variant=name) for name in ("as in the paper", "λ = 1e-6 at first"))
    assert calm == 1.0 < wild

"""Figures with a slider: one picture is seen at first, each has words, and nothing is asked from outside."""

from __future__ import annotations

import re

import pytest

from ngdnum.figures import Line, Picture, lines_figure
from ngdnum.slider import Slider


def pictures(*values: float) -> dict[str, Picture]:
    return {f"{a:g}": lines_figure([Line("line", [0, 1], [0, a])]) for a in values}


def test_one_picture_is_seen_and_each_is_described() -> None:
    html = Slider("slope <a>", pictures(1, 2, 3), start="2", alt="A line")._repr_html_()
    images = re.findall(r"<img [^>]*>", html)
    assert [" hidden" in image for image in images] == [True, False, True]
    assert [re.search('alt="([^"]*)"', image)[1] for image in images] == [
        f"A line; slope &lt;a&gt; {a}" for a in (1, 2, 3)
    ]
    assert 'max="2" value="1"' in html and "slope <a>" not in html and "http" not in re.sub('base64,[^"]*', "", html)


@pytest.mark.parametrize("values, start", [((), None), ((1,), None), ((1, 2), "3")])
def test_too_few_pictures_or_an_unknown_start_are_refused(values: tuple, start: str | None) -> None:
    with pytest.raises(ValueError, match="two or more pictures, one of them at"):
        Slider("a", pictures(*values), start=start, alt="A line")

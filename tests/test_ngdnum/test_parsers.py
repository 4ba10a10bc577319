"""Files with something wrong anywhere: they are refused by name, or what is read of them is sound."""

from __future__ import annotations

import gzip
import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ngdnum.data import read_idx_images
from ngdnum.results import Curve, Result, load
from support.damage import DAMAGE, changed, places

BOUNDED = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PIXELS = np.arange(30, dtype=np.uint8).reshape(5, 2, 3)
IMAGES = struct.pack(">IIII", 0x803, *PIXELS.shape) + PIXELS.tobytes()
CURVES = [Curve(name, {"lr": 0.1}, [0, 20, 40], [0.0, 0.5, 1.0], [3.0, 2.0, 1.0]) for name in ("SGD", "NGD.paper")]
RESULT = Result("fig1a", "A figure", 3, "command", {"samples": 40}, {"kind": "test"}, 0.1, CURVES, {}, complete=True)


@pytest.mark.what_if(
    "data and results",
    "any bytes of an IDX file are cut, changed or added, compressed or not",
    "ValueError with the name of the file, or the images that its header announces",
)
@BOUNDED
@given(data=st.data())
def test_an_idx_file_is_refused_by_name_or_holds_what_it_announces(tmp_path: Path, data: st.DataObject) -> None:
    compressed = data.draw(st.booleans(), "compressed")
    good = gzip.compress(IMAGES, mtime=0) if compressed else IMAGES
    start = data.draw(st.integers(0, len(good)), "start")
    stop = data.draw(st.integers(start, min(len(good), start + 8)), "stop")
    path = tmp_path / ("damaged.gz" if compressed else "damaged")
    path.write_bytes(good[:start] + data.draw(st.binary(max_size=8), "bytes") + good[stop:])
    try:
        images = read_idx_images(path)
    except ValueError as error:
        assert path.name in str(error)
    else:
        content = gzip.decompress(path.read_bytes()) if compressed else path.read_bytes()
        assert images.shape == struct.unpack(">III", content[4:16]) and images.tobytes() == content[16:]


@pytest.mark.what_if(
    "data and results",
    "any one entry of a result is missing, NaN, text, negative or cut",
    "ValueError with the name of the file, or the result can be drawn",
)
@BOUNDED
@given(data=st.data())
def test_a_result_is_refused_by_name_or_is_whole(tmp_path: Path, data: st.DataObject) -> None:
    content = json.loads(RESULT.to_json())
    place = data.draw(st.sampled_from(list(places(content))), "place")
    damaged = changed(content, place, DAMAGE[data.draw(st.sampled_from(list(DAMAGE)), "damage")])
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(damaged), encoding="utf-8")
    try:
        result = load(path)
    except ValueError as error:
        assert path.name in str(error)
    else:
        for curve in result.curves:
            assert len(curve.samples) == len(curve.seconds) == len(curve.test_error)
            assert all(math.isfinite(number) for number in [*curve.samples, *curve.seconds])

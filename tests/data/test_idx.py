"""Fashion-MNIST and MNIST: the real files, small made ones, and every kind of damage."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from babysit.data.idx import FASHION_CLASSES, PARTS, fashion_mnist, mnist, parse_idx
from babysit.errors import DataError


def idx_bytes(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim])
    return header + np.array(values.shape, dtype=">u4").tobytes() + values.tobytes()


def test_real_fashion_mnist_has_the_published_sizes_and_mean(real_data):
    if not (real_data / "fashion-mnist").is_dir():
        pytest.skip("the real Fashion-MNIST is absent from BABYSIT_DATA")
    data = fashion_mnist(real_data)
    assert (len(data.train), len(data.val), len(data.test)) == (55_000, 5000, 10_000)
    assert (data.train.x.dtype, data.input_shape, data.classes) == (np.uint8, (1, 28, 28), FASHION_CLASSES)
    train = np.concatenate([data.train.x, data.val.x])
    assert train.mean() == pytest.approx(72.940, abs=1e-3)
    assert np.bincount(np.concatenate([data.train.y, data.val.y])).tolist() == [6000] * 10


def test_real_mnist_without_its_training_part_names_the_missing_files(real_data):
    if not (real_data / "mnist").is_dir() or (real_data / "mnist" / f"{PARTS[0]}.gz").exists():
        pytest.skip("needs BABYSIT_DATA with the test part of MNIST only")
    with pytest.raises(DataError, match=r"put train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz into"):
        mnist(real_data)


def test_the_folder_and_the_one_above_it_give_the_same_data(idx_folder):
    inside, above = fashion_mnist(idx_folder, val=5), fashion_mnist(idx_folder.parent, val=5)
    assert np.array_equal(inside.train.x, above.train.x)
    assert (len(inside.train), len(inside.val), len(inside.test)) == (25, 5, 10)
    assert inside.val.y.tolist() == [5, 6, 7, 8, 9]


def test_unzipped_files_read_the_same(idx_folder):
    packed = mnist(idx_folder, val=5)
    for part in PARTS:
        path = idx_folder / f"{part}.gz"
        (idx_folder / part).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert np.array_equal(mnist(idx_folder, val=5).train.x, packed.train.x)


def test_in_the_data_root_only_the_sets_own_folder_counts(idx_folder, monkeypatch):
    monkeypatch.setenv("BABYSIT_DATA", str(idx_folder.parent))
    assert len(fashion_mnist(val=5).train) == 25
    monkeypatch.setenv("BABYSIT_DATA", str(idx_folder))
    with pytest.raises(DataError, match="not complete"):
        fashion_mnist(val=5)


def test_absent_data_say_which_files_to_put_where(no_data):
    with pytest.raises(DataError) as caught:
        mnist()
    assert str(no_data / "mnist") in caught.value.problem
    assert all(f"{part}.gz" in caught.value.fix for part in PARTS)


def test_the_format_is_read_as_published():
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert np.array_equal(parse_idx(io.BytesIO(idx_bytes(values))), values)


IMAGES, LABELS = (f"{part}.gz" for part in PARTS[:2])
LABEL_BYTES = idx_bytes(np.arange(30, dtype=np.uint8) % 10)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (IMAGES, b"", "first bytes are absent"),
        (LABELS, gzip.compress(LABEL_BYTES)[:-12], "cannot be read as an idx file of labels"),
        (IMAGES, gzip.compress(b"\0\0\x0d\x03" + LABEL_BYTES[4:]), "first bytes are 00 00 0d 03"),
        (IMAGES, b"<html>404</html>", "first bytes are 3c 68 74 6d"),
        (LABELS, LABEL_BYTES[:-1], r"header says shape \[30\], but 29 bytes"),
        (LABELS, LABEL_BYTES + b"\0", "but 31 bytes"),
        (LABELS, LABEL_BYTES[:6], "cannot be read as an idx file"),
        (LABELS, idx_bytes(np.zeros(29, dtype=np.uint8)), r"30 images but .* has 29 labels"),
        (LABELS, idx_bytes(np.full(30, 11, dtype=np.uint8)), r"label 11 in row 0"),
        (LABELS, idx_bytes(np.zeros((30, 2, 2), dtype=np.uint8)), "are they swapped"),
        (LABELS, idx_bytes(np.zeros(30, dtype=np.uint8)), "one class only"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_damaged_files_are_refused_by_name(idx_folder, name, content, problem):
    (idx_folder / name).write_bytes(content)
    with pytest.raises(DataError, match=problem) as caught:
        fashion_mnist(idx_folder, val=5)
    assert caught.value.fix
    assert str(idx_folder / name) in caught.value.problem or "one class" in caught.value.problem


def test_a_folder_in_place_of_a_file_is_refused(idx_folder):
    (idx_folder / IMAGES).unlink()
    (idx_folder / IMAGES).mkdir()
    with pytest.raises(DataError, match="is a folder, not an idx file of images"):
        fashion_mnist(idx_folder, val=5)


@pytest.mark.usefixtures("refuse_open")
def test_an_unreadable_file_is_refused(idx_folder: Path):
    with pytest.raises(DataError, match="may not be read by this user"):
        fashion_mnist(idx_folder, val=5)

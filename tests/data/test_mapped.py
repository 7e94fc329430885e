"""Mapped ``.npy`` files: the rows that were saved, and every kind of file that is none."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from babysit.data.mapped import Mapped, npy
from babysit.errors import DataError


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("kind", [np.uint8, np.bool_, np.float16, np.float64, ">i4", ">f4", np.int64])
def test_rows_are_what_was_saved(tmp_path, kind):
    x = np.random.default_rng(0).integers(0, 2, (300, 5, 7)).astype(kind)
    rows = Mapped(saved(tmp_path / "x.npy", x))
    picked = np.array([299, 0, 17, 17, 4])
    assert np.array_equal(rows[picked], x[picked])
    assert np.array_equal(rows[3:9], x[3:9])
    assert rows[picked].dtype == rows.dtype
    assert rows.dtype.isnative
    assert rows.shape == x.shape


def test_what_is_read_is_the_callers_own(tmp_path):
    rows = Mapped(saved(tmp_path / "x.npy", np.zeros((4, 2))))
    rows[:][...] = 5
    rows[np.array([1, 3])][...] = 5
    assert not rows[:].any()


def test_a_long_header_is_no_trouble(tmp_path):
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.arange(6).reshape(3, 2), version=(2, 0))
    assert Mapped(path)[np.array([2])].tolist() == [[4, 5]]


def test_pickled_it_is_its_path(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (5000, 100), dtype=np.uint8)
    data = npy(saved(tmp_path / "x.npy", x), saved(tmp_path / "y.npy", np.arange(5000) % 3))
    parcel = pickle.dumps(data)
    assert len(parcel) < 100_000  # the labels and the rows' numbers, not half a megabyte of inputs
    assert np.array_equal(pickle.loads(parcel).val.x[:], data.val.x[:])
    saved(tmp_path / "x.npy", x[:10])
    with pytest.raises(
        DataError, match=r"holds \[10, 100\] of uint8 here, not \[5000, 100\] of uint8"
    ) as caught:
        pickle.loads(parcel)
    assert "every machine" in caught.value.fix


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_bytes(b""), "cannot be read as an .npy file"),
        (lambda path: path.write_bytes(b"no numbers here"), "cannot be read as an .npy file"),
        (
            lambda path: np.savez(path.with_name("z"), x=np.eye(2)) or path.with_name("z.npz").rename(path),
            "as an .npy",
        ),
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: None, "does not exist"),
        (lambda path: np.save(path, np.zeros(5)), r"its shape is \[5\], not"),
        (lambda path: np.save(path, np.zeros((0, 3))), r"its shape is \[0, 3\]"),
        (lambda path: np.save(path, np.array([["a"], ["b"]])), "it holds <U1, not numbers"),
        (lambda path: np.save(path, np.array([[None]]), allow_pickle=True), "it holds object, not numbers"),
        (lambda path: np.save(path, np.asfortranarray(np.zeros((3, 4)))), "stored column by column"),
    ],
)
def test_what_is_no_rows_of_numbers_is_refused(tmp_path, write, message):
    path = tmp_path / "x.npy"
    write(path)
    with pytest.raises(DataError, match=message) as caught:
        Mapped(path)
    assert "x.npy" in str(caught.value)


def test_a_file_that_ends_too_early_is_refused(tmp_path):
    path = saved(tmp_path / "x.npy", np.zeros((100, 8)))
    path.write_bytes(path.read_bytes()[:-13])
    with pytest.raises(DataError, match=r"ends 13 bytes too early for its shape \[100, 8\]"):
        Mapped(path)


def test_a_header_that_promises_the_world_allocates_nothing(tmp_path):
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**10)}
        np.lib.format.write_array_header_2_0(file, header)
    with pytest.raises(DataError, match="too early"):
        Mapped(path)
    with pytest.raises(DataError, match=r"world.npy cannot be read .* too early"):
        npy(saved(tmp_path / "good.npy", np.zeros((5, 2))), path.rename(tmp_path / "world.npy"))


def test_a_value_that_is_no_number_is_named_when_it_is_read(tmp_path):
    x = np.zeros((2000, 3), dtype=np.float32)
    x[1203, 2] = np.inf
    rows = Mapped(saved(tmp_path / "x.npy", x))
    assert rows[:1203].sum() == 0
    with pytest.raises(DataError, match=r"x.npy holds inf in row 1203 \(from 0\), position \[2\]"):
        rows[np.array([5, 1203])]


def parts(tmp_path: Path, x: np.ndarray, y: np.ndarray) -> tuple[list[Path], list[Path]]:
    """In three files of inputs and two of targets."""
    ends = np.array_split(np.arange(len(x)), 3)
    inputs = [saved(tmp_path / f"x{number}.npy", x[rows]) for number, rows in enumerate(ends)]
    targets = [saved(tmp_path / f"y{number}.npy", rows) for number, rows in enumerate(np.array_split(y, 2))]
    return inputs, targets


def test_several_files_are_one_data_set(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 5
    one = npy(saved(tmp_path / "x.npy", x), saved(tmp_path / "y.npy", y), seed=2)
    several = npy(*parts(tmp_path, x, y), seed=2)
    assert (one.name, several.name) == ("x.npy", "x0.npy")
    for left, right in ((one.train, several.train), (one.val, several.val), (one.test, several.test)):
        assert np.array_equal(left.x[:], right.x[:])
        assert np.array_equal(left.y, right.y)


@pytest.mark.parametrize("given", [(), ("val",), ("test",), ("val", "test")])
def test_splits_that_have_no_file_are_drawn(tmp_path, given):
    x, y = saved(tmp_path / "x.npy", np.eye(40)), saved(tmp_path / "y.npy", np.arange(40) % 2)
    files = {}
    for name in given:
        files[f"x_{name}"] = saved(tmp_path / f"x_{name}.npy", np.eye(40)[:7] + 1)
        files[f"y_{name}"] = saved(tmp_path / f"y_{name}.npy", np.arange(7) % 2)
    data = npy(x, y, **files)
    expected = {(): (32, 4, 4), ("val",): (40, 7, None), ("test",): (36, 4, 7), ("val", "test"): (40, 7, 7)}
    assert (len(data.train), len(data.val), data.test and len(data.test)) == expected[given]


@pytest.mark.parametrize(
    ("y", "task", "expected"),
    [
        (np.arange(20) % 4, "auto", ("classification", 4)),
        (np.array(["cat", "dog"] * 10), "auto", ("classification", 2)),
        (np.linspace(0, 1, 20), "auto", ("regression", 0)),
        (np.arange(20) % 4, "regression", ("regression", 0)),
    ],
)
def test_targets_are_read_as_those_of_arrays(tmp_path, y, task, expected):
    data = npy(saved(tmp_path / "x.npy", np.zeros((20, 2))), saved(tmp_path / "y.npy", y), task=task)
    assert (data.task, data.num_classes) == expected


def test_too_few_rows_to_draw_from_are_refused(tmp_path):
    with pytest.raises(DataError, match="the validation split is empty"):
        npy(saved(tmp_path / "x.npy", np.eye(3)), saved(tmp_path / "y.npy", np.arange(3) % 2))


def test_what_does_not_fit_is_refused(tmp_path):
    x, y = saved(tmp_path / "x.npy", np.zeros((20, 2))), saved(tmp_path / "y.npy", np.arange(19) % 2)
    with pytest.raises(DataError, match="the train split has 20 inputs but 19 targets"):
        npy(x, y)
    with pytest.raises(DataError, match="inputs or targets but not both"):
        npy(x, y, x_val=x)
    with pytest.raises(DataError, match="there is no task 'guess'"):
        npy(x, y, task="guess")
    with pytest.raises(DataError, match="empty list"):
        npy([], y)
    np.savez(tmp_path / "z.npz", y=np.zeros(3))
    with pytest.raises(DataError, match=r"an \.npz archive; use bs\.data\.npz"):
        npy(x, tmp_path / "z.npz")
    with pytest.raises(DataError, match=r"wide.npy has rows of shape \[9\]"):
        npy([x, saved(tmp_path / "wide.npy", np.zeros((3, 9)))], y)

"""CSV and Parquet: types, categories and gaps; real untidy tables; every kind of damage."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as arrow_parquet

from babysit.data.dataset import Dataset
from babysit.data.preprocessing import Standardize
from babysit.data.tables import csv, parquet
from babysit.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def written(path: Path, *rows: str, header: str = "a,b,label") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def numbers(count: int = 20) -> list[str]:
    return [f"{row},{row / 2},{'yes' if row % 2 else 'no'}" for row in range(count)]


def real(folder: Path, name: str) -> Path:
    path = folder / "small" / name
    if not path.is_file():
        pytest.skip(f"{name} is absent from BABYSIT_DATA")
    return path


def rows_by_first_column(data: Dataset) -> np.ndarray:
    x = np.concatenate([part.x for part in (data.train, data.val, data.test)])
    return x[np.argsort(x[:, 0])]


def test_numbers_and_text_labels(path):
    data = csv(written(path, *numbers()), "label")
    assert (data.name, data.task, data.classes) == ("table.csv", "classification", ("no", "yes"))
    assert data.feature_names == ("a", "b")
    assert (len(data.train), len(data.val), len(data.test)) == (16, 2, 2)
    np.testing.assert_array_equal(rows_by_first_column(data)[:, 1], np.arange(20) / 2)
    assert np.array_equal(data.train.x[:, 0] % 2, data.train.y)


@pytest.mark.parametrize(
    ("label", "task", "expected", "classes"),
    [
        ("{k}", "auto", "classification", ("3", "5")),
        ("{k}.5", "auto", "regression", ()),
        ("{k}", "regression", "regression", ()),
        ("{k}.5", "classification", "classification", ("3.5", "5.5")),
        ("{k}{row}", "auto", "regression", ()),
        ("{flag}", "auto", "classification", ("0", "1")),
    ],
)
def test_the_task_follows_the_label_column(path, label, task, expected, classes):
    rows = [
        f"{row},{row},{label.format(k=3 + 2 * (row % 2), row=row, flag=['true', 'false'][row % 2])}"
        for row in range(30)
    ]
    data = csv(written(path, *rows), "label", task=task)
    assert (data.task, data.classes) == (expected, classes)
    assert data.train.y.dtype == (np.int64 if classes else np.float32)


def test_categories_come_from_the_training_split(path):
    rows = [f"{row},colour{row % 3},{row % 2}" for row in range(30)]
    data = csv(written(path, *rows), "label")
    assert data.feature_names == ("a", "b=colour0", "b=colour1", "b=colour2")
    x = rows_by_first_column(data)
    np.testing.assert_array_equal(x[:, 1:], np.eye(3)[np.arange(30) % 3])


def test_a_category_that_training_lacks_becomes_zeros(path):
    plain = csv(written(path, *[f"{row},x,{row % 2}" for row in range(30)]), "label")
    rare = int(plain.val.x[0, 0])
    rows = [f"{row},{'rare' if row == rare else 'x'},{row % 2}" for row in range(30)]
    data = csv(written(path, *rows), "label")
    assert data.feature_names == ("a", "b=x")
    assert data.val.x[0].tolist() == [rare, 0]
    assert data.train.x[:, 1].all()  # constant, and still there


def test_missing_numbers_are_refused_or_filled_with_the_training_mean(path):
    rows = numbers()
    rows[4] = "4,,no"
    with pytest.raises(
        DataError, match=r"table.csv, column 'b', row 5 \(data rows count from 1\) is missing"
    ):
        csv(written(path, *rows), "label")
    data = csv(path, "label", missing="mean")
    train = data.train.x[data.train.x[:, 0] != 4, 1]
    filled = rows_by_first_column(data)[4, 1]
    assert filled == pytest.approx(train.mean())


def test_a_column_without_any_value_cannot_be_filled(path):
    written(path, *[f"{row},,{row % 2}" for row in range(30)])
    with pytest.raises(DataError, match="has no value in any training row"):
        csv(path, "label", missing="mean")
    assert csv(path, "label", ignore="b").feature_names == ("a",)


def test_empty_text_is_a_category(path):
    rows = [f"{row},{['', 'x'][row % 2]},{row % 2}" for row in range(30)]
    assert csv(written(path, *rows), "label").feature_names == ("a", "b=", "b=x")


def test_types_are_guessed_from_the_whole_file(path):
    rows = [f"{row},7,{row % 2}" for row in range(200_000)]
    rows[-1] = "199999,7.5,1"
    assert csv(written(path, *rows), "label").train.x.shape == (160_000, 2)


def test_a_file_without_header_and_with_semicolons(path):
    path.write_text("\ufeff" + "\n".join(f"{row};{row % 2}" for row in range(30)), encoding="utf-8")
    data = csv(path, "f1", header=False, delimiter=";")
    assert (data.feature_names, len(data.train)) == (("f0",), 24)


def test_splits_are_stratified_and_seeded(path):
    written(path, *numbers(100))
    first, second, other = (csv(path, "label", val=20, test=20, seed=seed) for seed in (0, 0, 1))
    assert np.bincount(first.val.y).tolist() == [10, 10]
    assert np.array_equal(first.train.x, second.train.x)
    assert not np.array_equal(first.train.x, other.train.x)


def test_real_titanic(real_data):
    path = real(real_data, "titanic.csv")
    with pytest.raises(DataError, match="'Name' holds 891 different texts"):
        csv(path, "Survived", missing="mean")
    with pytest.raises(DataError, match=r"'Ticket', row 1 .* is 'A/5 21171', not a number"):
        csv(path, "Survived", missing="mean", ignore=["Name"])
    ignore = ["PassengerId", "Name", "Ticket", "Cabin"]
    with pytest.raises(DataError, match=r"'Age', row 6 .* is missing; 177 in all"):
        csv(path, "Survived", ignore=ignore)
    data = csv(path, "Survived", ignore=ignore, missing="mean", preprocess=[Standardize()])
    assert (data.classes, len(data.train) + len(data.val) + len(data.test)) == (("0", "1"), 891)
    assert {"Sex=female", "Sex=male", "Embarked=S"} <= set(data.feature_names)
    assert np.isfinite(data.inputs(data.test.x)).all()


def test_real_miles_per_gallon(real_data):
    data = csv(real(real_data, "mpg.csv"), "MPG", preprocess=[Standardize()])
    assert (data.task, data.input_shape) == ("regression", (9,))
    assert csv(real(real_data, "mpg.csv"), "Cylinders").classes == ("3", "4", "5", "6", "8")


def test_real_heart_disease(real_data):
    data = csv(real(real_data, "heart_train.csv"), "chd")
    assert (data.classes, len(data.feature_names)) == (("0", "1"), 10)


DATES = [f"2020-01-{row + 1:02d},{row},{row % 2}" for row in range(20)]


@pytest.mark.parametrize(
    ("content", "label", "problem"),
    [
        ("", "label", "table.csv cannot be read as a CSV file: Empty CSV"),
        ("a,label\n", "label", "header but no rows"),
        ("a,label\n1,2\n3,4,5\n", "label", "cannot be read as a CSV file: CSV parse error"),
        ("a,b\n1,2\n", "label", r"no column 'label'\n  fix: its columns are: a, b"),
        ("a,a,label\n1,2,3\n", "label", "several columns called 'a'"),
        ("label\n1\n0\n" * 1, "label", "has no column left"),
        ("a,label\n" + "1,x\n" * 30, "label", "one class only"),
        ("a,label\n" + "1,0\n2,1\n" * 10 + "3,\n", "label", "column 'label', row 21 .* has no label"),
        ("a,label\n" + "1,0\n2,1\n" * 10 + "NaN,1\n", "label", "column 'a', row 21 .* is missing"),
        ("a,label\n" + "1,0\n2,1\n" * 10 + "inf,1\n", "label", "column 'a', row 21 .* is infinite"),
        ("a,label\n" + "1,0.5\n2,1.5\n" * 10 + "1,inf\n", "label", "column 'label', row 21 .* is infinite"),
        ("a,label\n" + "1,0\n2,1\n" * 10 + "?,1\n", "label", r"column 'a', row 21 .* is '\?', not a number"),
        ("a,b,label\n" + "\n".join(DATES), "label", "'a' holds date32.* values, which are neither"),
        ("a,b,label\n" + "\n".join(DATES), "b", "'a' holds date32"),
        ("a,label\n1,0\n2,1\n", "label", "validation row"),
    ],
    ids=range(15),
)
def test_tables_that_cannot_be_used_are_refused(path, content, label, problem):
    path.write_text(content)
    with pytest.raises(DataError, match=problem) as caught:
        csv(path, label)
    assert "table.csv" in caught.value.problem
    assert caught.value.fix


def test_bytes_that_are_no_text_are_refused(path):
    path.write_bytes(b"a,label\n" + b"\xff\xfe\x00\x81,1\n\xff,0\n" * 10)
    with pytest.raises(DataError, match=r"table.csv"):
        csv(path, "label")


def test_unknown_arguments_are_refused(path):
    written(path, *numbers())
    with pytest.raises(DataError, match="no column 'c'"):
        csv(path, "label", ignore=["c"])
    with pytest.raises(DataError, match="no missing='median'"):
        csv(path, "label", missing="median")
    with pytest.raises(DataError, match="no task 'rank'"):
        csv(path, "label", task="rank")
    with pytest.raises(DataError, match="text"):
        csv(path, "label", task="regression")
    with pytest.raises(DataError, match="leave none to train on"):
        csv(path, "label", val=15, test=5)


@pytest.mark.parametrize("reader", [csv, parquet])
def test_absent_files_and_folders_are_refused(reader, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        reader(tmp_path / "absent", "label")
    with pytest.raises(DataError, match="is a folder"):
        reader(tmp_path, "label")


@pytest.mark.usefixtures("refuse_open")
@pytest.mark.parametrize("reader", [csv, parquet])
def test_unreadable_files_are_refused(reader, path):
    with pytest.raises(DataError, match="may not be read"):
        reader(path, "label")


def saved(path: Path, **columns: object) -> Path:
    arrow_parquet.write_table(pa.table(columns), path)
    return path


def test_parquet_of_every_type(tmp_path):
    text = pa.array(["x", "y"] * 15)
    path = saved(
        tmp_path / "t.parquet",
        whole=np.arange(30),
        real=np.linspace(0, 1, 30, dtype=np.float32),
        flag=np.arange(30) % 2 == 0,
        exact=pa.array(range(30)).cast(pa.decimal128(25, 2)),
        category=text.dictionary_encode(),
        label=text,
    )
    data = parquet(path, "label")
    assert data.feature_names == ("whole", "real", "flag", "exact", "category=x", "category=y")
    x = rows_by_first_column(data)
    np.testing.assert_array_equal(x[:, 2], np.arange(30) % 2 == 0)
    np.testing.assert_array_equal(x[:, 3], np.arange(30))
    assert (data.name, data.classes) == ("t.parquet", ("x", "y"))


def test_parquet_and_csv_give_the_same_data(tmp_path, path):
    rows = np.arange(30)
    written(path, *[f"{row},{row / 4},{row % 3}" for row in rows])
    stored = saved(tmp_path / "t.parquet", a=rows, b=rows / 4, label=rows % 3)
    ours, theirs = parquet(stored, "label"), csv(path, "label")
    assert np.array_equal(ours.train.x, theirs.train.x)
    assert np.array_equal(ours.val.y, theirs.val.y)


@pytest.mark.parametrize("gap", [None, float("nan")])
def test_gaps_in_parquet_are_named(tmp_path, gap):
    values = pa.array([1.0, gap, *range(28)], from_pandas=False)
    path = saved(tmp_path / "t.parquet", a=values, label=np.arange(30) % 2)
    with pytest.raises(DataError, match=r"column 'a', row 2 .* is missing"):
        parquet(path, "label")
    assert np.isfinite(parquet(path, "label", missing="mean").train.x).all()


def test_parquet_of_dates_and_lists_is_refused(tmp_path):
    for values in ([datetime.datetime(2020, 1, 1)] * 4, [[1], [2]] * 2):
        path = saved(tmp_path / "t.parquet", when=values, label=[0, 1, 0, 1])
        with pytest.raises(DataError, match="neither numbers nor text"):
            parquet(path, "label", val=1)


def test_damaged_parquet_is_refused(tmp_path):
    path = saved(tmp_path / "t.parquet", a=np.arange(30), label=np.arange(30) % 2)
    whole = path.read_bytes()
    for content in (b"", b"a,label\n1,2\n", whole[: len(whole) // 2], whole[:10] + b"\xff" * 60 + whole[70:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"t.parquet cannot be read as a Parquet file"):
            parquet(path, "label")

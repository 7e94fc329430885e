"""CIFAR-10: the real images, small made ones in every layout, and every kind of damage."""

from __future__ import annotations

import os
import pickle
import shutil
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pytest

from babysit.data.cifar import CLASSES, FILES, cifar10
from babysit.data.dataset import Dataset
from babysit.data.preprocessing import MeanImage
from babysit.errors import DataError


@pytest.fixture(scope="module")
def real(real_cifar: Path) -> Dataset:
    return cifar10(real_cifar)


def pixels(data: Dataset) -> np.ndarray:
    return np.concatenate([data.train.x, data.val.x])


@pytest.mark.cifar
def test_real_cifar10_has_the_published_sizes_and_mean(real):
    assert (len(real.train), len(real.val), len(real.test)) == (49_000, 1000, 10_000)
    assert (real.train.x.dtype, real.input_shape, real.classes) == (np.uint8, (3, 32, 32), CLASSES)
    channels = [pixels(real)[:, channel].mean() for channel in range(3)]
    np.testing.assert_allclose(channels, [125.307, 122.950, 113.865], atol=1e-3)


@pytest.mark.cifar
def test_real_cifar10_has_5000_training_and_1000_test_images_per_class(real):
    labels = np.concatenate([real.train.y, real.val.y])
    assert np.bincount(labels).tolist() == [5000] * 10
    assert np.bincount(real.test.y).tolist() == [1000] * 10


@pytest.mark.cifar
def test_real_cifar10_validates_on_the_last_rows(real, real_cifar):
    with (real_cifar / "data_batch_5").open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy dislikes how these old pickles name their type
        last = pickle.load(file, encoding="bytes")
    assert real.val.y.tolist() == last[b"labels"][-1000:]
    assert np.array_equal(real.val.x.reshape(1000, -1), last[b"data"][-1000:])


@pytest.mark.cifar
def test_real_mean_image_centres_the_training_split(real):
    centred = real.preprocessed([MeanImage()])
    sums = sum(
        centred.inputs(rows).sum(axis=0, dtype=np.float64) for rows in np.array_split(real.train.x, 49)
    )
    assert abs(sums / 49_000).max() < 1e-4
    assert abs(centred.inputs(real.val.x).mean(axis=0)).max() > 1


def archive(folder: Path, name: str, files: tuple[str, ...] = FILES) -> Path:
    path = folder.parent / name
    with tarfile.open(path, f"w:{path.suffix[1:]}") as made:
        for file in files:
            made.add(folder / file, f"cifar-10-batches-py/{file}")
    return path


def test_the_folder_and_the_one_above_it_give_the_same_data(cifar_folder):
    inside, above = cifar10(cifar_folder, val=10), cifar10(cifar_folder.parent, val=10)
    assert np.array_equal(inside.train.x, above.train.x)
    assert (len(inside.train), len(inside.val), len(inside.test)) == (90, 10, 20)
    assert inside.train.x.shape[1:] == (3, 32, 32)


def test_the_data_root_is_the_default(cifar_folder, monkeypatch):
    monkeypatch.setenv("BABYSIT_DATA", str(cifar_folder.parent))
    assert len(cifar10(val=10).train) == 90


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-python.tar.xz"])
def test_an_archive_gives_the_same_data_as_the_folder(cifar_folder, name):
    expected = cifar10(cifar_folder, val=10)
    path = archive(cifar_folder, name)
    shutil.rmtree(cifar_folder)
    for place in (path, path.parent):
        data = cifar10(place, val=10)
        assert np.array_equal(pixels(data), pixels(expected))
        assert np.array_equal(data.test.y, expected.test.y)


def test_planes_are_red_green_blue(cifar_folder):
    with (cifar_folder / "data_batch_1").open("rb") as file:
        row = pickle.load(file, encoding="bytes")[b"data"][0]
    assert np.array_equal(cifar10(cifar_folder, val=10).train.x[0, 1].ravel(), row[1024:2048])


def test_absent_data_say_which_files_to_put_where(no_data):
    with pytest.raises(DataError) as caught:
        cifar10()
    assert str(no_data) in caught.value.problem
    for name in (*FILES, "cifar-10-batches-py", "cifar-10-python.tar.gz", "BABYSIT_DATA", "download=True"):
        assert name in caught.value.fix


@pytest.mark.parametrize("val", [0, 100, -1])
def test_an_impossible_validation_split_is_refused(cifar_folder, val):
    with pytest.raises(DataError, match="choose val between 1 and 99"):
        cifar10(cifar_folder, val=val)


def changed(folder: Path, **changes: object) -> None:
    path = folder / "data_batch_2"
    content = pickle.loads(path.read_bytes(), encoding="bytes")
    content |= {key.encode(): value for key, value in changes.items()}
    path.write_bytes(
        pickle.dumps({key: value for key, value in content.items() if value is not None}, protocol=2)
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"labels": [0, 1]}, "20 images but 2 labels"),
        ({"labels": [10] * 20}, "labels are not integers from 0 to 9"),
        ({"labels": [-1] * 20}, "labels are not integers from 0 to 9"),
        ({"labels": ["cat"] * 20}, "labels are not integers from 0 to 9"),
        ({"labels": None}, "holds no labels"),
        ({"data": None}, "holds no data"),
        ({"data": np.zeros((20, 100), dtype=np.uint8)}, r"not uint8 of shape \[N, 3072\]"),
        ({"data": np.zeros((20, 3072))}, "not uint8"),
        ({"data": [1, 2]}, "not uint8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_content_is_refused_by_name(cifar_folder, changes, problem):
    changed(cifar_folder, **changes)
    with pytest.raises(DataError, match=problem) as caught:
        cifar10(cifar_folder, val=10)
    assert "data_batch_2" in caught.value.problem


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.target),))


def test_a_malicious_pickle_is_refused_and_not_run(cifar_folder, tmp_path):
    target = tmp_path / "broken-into"
    (cifar_folder / "data_batch_3").write_bytes(pickle.dumps({b"data": Malicious(target)}))
    with pytest.raises(DataError, match=r"data_batch_3 .*mkdir, which is not allowed"):
        cifar10(cifar_folder, val=10)
    assert not target.exists()


@pytest.mark.parametrize(
    "content", [b"", b"no pickle at all", pickle.dumps([1, 2])], ids=["empty", "text", "list"]
)
def test_files_that_are_no_batch_are_refused(cifar_folder, content):
    (cifar_folder / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=r"test_batch cannot be read as a CIFAR-10 pickle"):
        cifar10(cifar_folder, val=10)


def test_a_truncated_file_is_refused(cifar_folder):
    path = cifar_folder / "data_batch_1"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match="data_batch_1 cannot be read"):
        cifar10(cifar_folder, val=10)


def test_a_missing_file_and_a_folder_in_its_place_are_refused(cifar_folder):
    (cifar_folder / "data_batch_4").unlink()
    with pytest.raises(DataError, match="data_batch_4 does not exist"):
        cifar10(cifar_folder, val=10)
    (cifar_folder / "data_batch_4").mkdir()
    with pytest.raises(DataError, match="data_batch_4 is a folder"):
        cifar10(cifar_folder, val=10)


@pytest.mark.usefixtures("refuse_open")
def test_an_unreadable_file_is_refused(cifar_folder):
    with pytest.raises(DataError, match=r"may not be read by this user\n  fix: chmod"):
        cifar10(cifar_folder, val=10)


@pytest.mark.parametrize("suffix", ["gz", "xz"])
def test_a_truncated_archive_is_refused(cifar_folder, suffix):
    path = archive(cifar_folder, f"cifar-10-python.tar.{suffix}")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match=f"cifar-10-python.tar.{suffix} cannot be read as a tar archive"):
        cifar10(path, val=10)


def test_an_incomplete_archive_and_no_archive_are_refused(cifar_folder):
    path = archive(cifar_folder, "part.gz", FILES[:4])
    with pytest.raises(DataError, match="it lacks data_batch_5, test_batch"):
        cifar10(path, val=10)
    path.write_text("no archive")
    with pytest.raises(DataError, match="cannot be read as a tar archive"):
        cifar10(path, val=10)

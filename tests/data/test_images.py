"""Folders of images: classes from subfolders, and every kind of damage."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from babysit.data.images import image_folder
from babysit.data.preprocessing import ChannelMean
from babysit.errors import DataError

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (4, 6)) -> None:
    """Writes an image of one colour; size is (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), colour, dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten red and ten blue images of 4 x 6 pixels."""
    root = tmp_path / "colours"
    for number in range(10):
        paint(root / "red" / f"{number}.png", (250, 10, number))
        paint(root / "blue" / f"{number}.PNG", (10, number, 250))
    (root / "red" / "notes.txt").write_text("no image")
    (root / "red" / ".hidden.png").write_text("no image")
    (root / ".cache").mkdir()
    return root


def test_subfolders_are_classes(folder):
    data = image_folder(folder, val=0.2, test=0.1)
    assert (data.name, data.classes, data.input_shape) == ("colours", ("blue", "red"), (3, 4, 6))
    assert (len(data.train), len(data.val), len(data.test)) == (14, 4, 2)
    assert np.bincount(data.val.y).tolist() == [2, 2]
    assert data.train.x.dtype == np.uint8
    assert np.array_equal(data.train.x[:, 0, 0, 0] == 250, data.train.y == 1)


def test_the_split_is_seeded(folder):
    first, second, other = (image_folder(folder, seed=seed).train.x for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [None, (3, 5)])
def test_images_that_are_read_when_needed_are_those_in_memory(folder, tmp_path, size):
    kept = image_folder(folder, size, preprocess=[ChannelMean()])
    for data in (
        image_folder(folder, size, in_memory=False, preprocess=[ChannelMean()]),
        image_folder(folder, size, in_memory=False, cache=tmp_path / "decoded", preprocess=[ChannelMean()]),
        image_folder(folder, size, in_memory=True, cache=tmp_path / "decoded", preprocess=[ChannelMean()]),
    ):
        assert data.input_shape == kept.input_shape
        for ours, theirs in ((data.train, kept.train), (data.val, kept.val), (data.test, kept.test)):
            assert np.array_equal(ours.y, theirs.y)
            assert np.array_equal(data.inputs(ours.x), kept.inputs(theirs.x))


def test_a_folder_stays_in_files_when_it_is_large(folder, monkeypatch):
    assert not image_folder(folder).streamed
    monkeypatch.setattr("babysit.data.images.IN_MEMORY_BYTES", 20 * 3 * 4 * 6 - 1)
    assert image_folder(folder).streamed
    assert not image_folder(folder, in_memory=True).streamed


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "valid"), ("train", "test"), ("train",)]
)
@pytest.mark.parametrize("in_memory", [True, False])
def test_folders_of_splits_are_the_splits(folder, tmp_path, names, in_memory):
    for number, name in enumerate(names):
        for place in range(10):
            paint(tmp_path / "split" / name / "a" / f"{place}.png", (number, place, 0))
            paint(tmp_path / "split" / name / "b" / f"{place}.png", (number, place, 1))
    data = image_folder(tmp_path / "split", in_memory=in_memory)
    parts = (data.train, data.val, data.test)
    sizes = tuple(part and len(part) for part in parts)
    expected = {
        ("train", "val", "test"): (20, 20, 20),
        ("Training", "valid"): (20, 20, None),
        ("train", "test"): (18, 2, 20),
        ("train",): (16, 2, 2),
    }
    assert sizes == expected[names]
    assert data.classes == ("a", "b")
    for part in parts:
        assert part is None or np.array_equal(part.x[:][:, 2, 0, 0], part.y)
    if len(names) == 3:
        assert [set(part.x[:][:, 0, 0, 0].tolist()) for part in parts] == [{0}, {1}, {2}]


def test_splits_with_other_classes_are_refused(tmp_path):
    for name in ("train/a", "train/b", "val/a", "val/c"):
        paint(tmp_path / "split" / name / "0.png", (0, 0, 0))
    with pytest.raises(DataError, match="has the class 'c', of which there is no training image"):
        image_folder(tmp_path / "split")
    for name in ("training/a", "training/b"):
        paint(tmp_path / "split" / name / "0.png", (0, 0, 0))
    with pytest.raises(DataError, match="which of them is to be trained on"):
        image_folder(tmp_path / "split")


def test_images_are_decoded_once_into_the_cache(folder, tmp_path, monkeypatch):
    cache = tmp_path / "not" / "there yet"
    first = image_folder(folder, in_memory=False, cache=cache)
    (made,) = cache.iterdir()
    assert made.name.startswith("colours-")
    assert made.suffix == ".npy"
    monkeypatch.setattr("babysit.data.image_files.ImageFiles.read", None)  # nobody decodes any more
    again = image_folder(folder, in_memory=False, cache=cache)
    assert np.array_equal(again.train.x[:], first.train.x[:])


def test_other_images_make_another_cache(folder, tmp_path):
    image_folder(folder, cache=tmp_path / "cache")
    image_folder(folder, (2, 2), cache=tmp_path / "cache")
    image_folder(folder, (2, 2), grayscale=True, cache=tmp_path / "cache")
    paint(folder / "red" / "0.png", (0, 0, 0))
    os.utime(folder / "red" / "0.png", ns=(1, 1))
    assert (image_folder(folder, cache=tmp_path / "cache").train.x == 0).all(axis=(1, 2, 3)).sum() in (0, 1)
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_a_cache_that_fails_leaves_nothing(folder, tmp_path):
    (folder / "red" / "5.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"5.png cannot be read as an image"):
        image_folder(folder, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot be written") as caught:
        image_folder(folder, cache=tmp_path / "file" / "cache")
    assert "cache=" in caught.value.fix


def test_damage_is_found_before_training_in_a_small_folder_and_named_when_read_in_any(folder):
    (folder / "red" / "5.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"5.png cannot be read as an image"):
        image_folder(folder, in_memory=False)
    paint(folder / "red" / "5.png", (1, 1, 1), (9, 9))
    with pytest.raises(DataError, match=r"5.png is 9 x 9 pixels"):
        image_folder(folder, in_memory=False)


def test_large_jpegs_shrink_to_what_pillow_makes_of_them(tmp_path):
    wave = np.sin(np.arange(400) / 40)[:, None] * np.cos(np.arange(600) / 30)[None]
    picture = np.repeat((127 + 100 * wave)[..., None], 3, axis=2).astype(np.uint8)
    for name in ("a", "b"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for number in range(5):
            Image.fromarray(picture).save(tmp_path / "photographs" / name / f"{number}.jpg", quality=95)
    shrunk = image_folder(tmp_path / "photographs", (40, 60)).train.x[0].astype(int)
    whole = Image.fromarray(picture).resize((60, 40), Image.Resampling.BILINEAR)
    assert np.abs(shrunk.transpose(1, 2, 0) - np.asarray(whole, dtype=int)).max() <= 6


def test_grayscale_has_one_channel(folder):
    assert image_folder(folder, grayscale=True).input_shape == (1, 4, 6)


def test_images_of_different_sizes_need_a_size(folder):
    paint(folder / "red" / "large.jpg", (250, 0, 0), size=(9, 8))
    with pytest.raises(DataError, match=r"large.jpg is 9 x 8 pixels .* is 4 x 6") as caught:
        image_folder(folder)
    assert caught.value.fix == "pass size=(4, 6) to resize them all"
    assert image_folder(folder, (5, 7)).input_shape == (3, 5, 7)


def test_a_damaged_image_is_named(folder):
    whole = (folder / "red" / "3.png").read_bytes()
    for content in (b"", b"no image", whole[:40]):
        (folder / "red" / "3.png").write_bytes(content)
        with pytest.raises(DataError, match=r"3.png cannot be read as an image"):
            image_folder(folder)


def test_folders_that_hold_no_classes_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        image_folder(tmp_path / "absent")
    with pytest.raises(DataError, match="is a file"):
        image_folder(folder / "red" / "1.png")
    with pytest.raises(DataError, match="has 0 subfolders"):
        image_folder(folder / "red")
    with pytest.raises(DataError, match="has 1 subfolders"):
        image_folder(tmp_path)
    (folder / "green").mkdir()
    with pytest.raises(DataError, match="green holds no image"):
        image_folder(folder)


def test_splits_are_not_taken_for_classes(tmp_path):
    for name in ("train", "test"):
        paint(tmp_path / name / "1.png", (0, 0, 0))
    with pytest.raises(DataError, match="these are splits, but they hold no classes"):
        image_folder(tmp_path)


def test_without_pillow_the_error_names_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(DataError, match="pip install pillow"):
        image_folder(folder)


@pytest.mark.usefixtures("refuse_open")
def test_an_unreadable_image_is_refused(folder):
    with pytest.raises(DataError, match="may not be read"):
        image_folder(folder)

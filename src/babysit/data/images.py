"""Data sets in a folder of images, one subfolder per class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babysit.data.dataset import SPLITS, Dataset, Split, with_drawn
from babysit.data.image_files import ImageFiles, decoded_once
from babysit.data.prefetch import read_all
from babysit.data.preprocessing import Transformer
from babysit.data.rows import ChosenRows, Inputs, Rows
from babysit.data.validity import validate
from babysit.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
LONGEST_SIDE = 10_000
IN_MEMORY_BYTES = 2**30
"""Decoded images of up to this many bytes in all are kept in memory by default."""
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip
"""Folder name -> split."""


def image_folder(
    root: str | Path,
    size: tuple[int, int] | None = None,
    *,
    grayscale: bool = False,
    in_memory: bool | None = None,
    cache: str | Path | None = None,
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    preprocess: Sequence[Transformer] = (),
) -> Dataset:
    """Loads a folder with one subfolder of images per class: uint8 [N, 3, height, width] in 0-255.

    Classes are the subfolders' names in sorted order. A folder with subfolders train, val and test, and the
    classes in each of them, has its splits already. Needs Pillow.

    A folder that is larger than a gigabyte once decoded is not read into memory: threads decode images batch
    by batch ahead of the training, and a whole population trains on each batch. Decoding in every epoch is
    still the most expensive part; with ``cache`` images are decoded once, into a file of one byte per value
    that is mapped from then on, by later commands too. Results are the same to the last bit either way,
    except for preprocessing of more than 50,000 images (``Dataset.preprocessed``).

    Args:
        root: the folder; hidden files and files that are no images are skipped.
        size: (height, width) in pixels that every image is resized to. Default: None, all must agree already.
        grayscale: one channel (luma) instead of three.
        in_memory: True: decode all images now; False: decode on demand. Default: None, now if they take no
            more than a gigabyte.
        cache: a folder for the decoded images, e.g. "/tmp/decoded". Default: None.
        val, test: counts or fractions, stratified by class, of splits that have no folder (no test split is
            drawn if validation has one). Default: a tenth each.
        seed: of the split.
        preprocess: steps, fitted on the training split only.

    Raises:
        DataError: no such folder, no classes, an empty class, an image that is damaged or of another size
            (of images that are not in memory: when it is read).

    Example:
        >>> image_folder("photographs", size=(64, 64)).classes  # doctest: +SKIP
        ('cat', 'dog')
    """
    root = Path(root).expanduser()
    _check_size(size)
    folders = _folders(root)
    classes = _classes(folders["train"])
    files = {name: _labelled(folder, classes) for name, folder in folders.items()}
    images = ImageFiles([path for part in files.values() for path, _ in part], size, grayscale=grayscale)
    kept = images.size <= IN_MEMORY_BYTES if in_memory is None else in_memory
    rows = images if cache is None else decoded_once(images, Path(cache).expanduser(), root.name)
    x: Inputs = read_all(rows) if kept else rows
    splits, start = {}, 0
    for name, part in files.items():
        labels = np.array([label for _, label in part], dtype=np.int64)
        stop = start + len(part)
        rows_of_part = ChosenRows(x, np.arange(start, stop)) if isinstance(x, Rows) else x[start:stop]
        splits[name], start = Split(rows_of_part, labels), stop
    splits = with_drawn(splits, val=val, test=test, seed=seed)
    dataset = Dataset(root.name, splits["train"], splits["val"], splits.get("test"), classes)
    return validate(dataset).preprocessed(preprocess)


def _folders(root: Path) -> dict[str, Path]:
    """Finds the folder of each split; a folder without splits is "train", of which the others are drawn."""
    if not root.is_dir():
        return {"train": root}
    found = {path.name.lower(): path for path in _subfolders(root)}
    of_splits = bool(found) and SPLIT_NAMES.keys() >= found.keys()
    if not of_splits or not all(_subfolders(path) for path in found.values()):
        return {"train": root}
    named = {SPLIT_NAMES[name]: path for name, path in found.items()}
    if len(named) < len(found) or "train" not in named:
        problem = f"{root} has the subfolders {', '.join(sorted(found))}: which of them is to be trained on?"
        raise DataError(problem, fix="call them train, val and test; at least train must be there")
    return {name: named[name] for name in SPLITS if name in named}


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _labelled(folder: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """Lists the image files of one split, each with its label."""
    unknown = sorted({path.name for path in _subfolders(folder)} - set(classes))
    if unknown:
        problem = f"{folder} has the class {unknown[0]!r}, of which there is no training image"
        raise DataError(problem, fix="give every split the classes of the training folder")
    labelled: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        of_class = folder / name
        if not of_class.is_dir():
            continue
        files = (
            path for path in of_class.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != "."
        )
        found = [(path, label) for path in sorted(files)]
        if not found:
            raise DataError(f"{of_class} holds no image", fix="add images to it, or remove the folder")
        labelled += found
    return labelled


def _check_size(size: Any) -> None:
    if size is None:
        return
    given = isinstance(size, tuple | list) and len(size) == 2
    if not given or not all(type(length) is int and 0 < length <= LONGEST_SIDE for length in size):
        problem = f"size={size!r} is not a height and width in pixels"
        raise DataError(problem, fix=f"give two whole numbers up to {LONGEST_SIDE}, e.g. size=(64, 64)")


def _classes(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{root} {kind}", fix="name a folder with one subfolder of images per class")
    names = tuple(path.name for path in _subfolders(root))
    if len(names) < 2:
        problem = f"{root} has {len(names)} subfolders, so it has fewer than two classes"
        raise DataError(problem, fix="put the images of each class into a subfolder of its own")
    if SPLIT_NAMES.keys() >= {name.lower() for name in names}:
        problem = f"{root} has the subfolders {', '.join(names)}: these are splits, but they hold no classes"
        raise DataError(problem, fix="put the images of each class into a subfolder of its own")
    return names

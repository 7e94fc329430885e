"""Data sets in a folder of images, one subfolder a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from babysit.data.ahead import read_all
from babysit.data.dataset import Dataset, split, validate
from babysit.data.image_files import ImageFiles, decoded_once
from babysit.data.preprocessing import Transformer
from babysit.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
IN_MEMORY_BYTES = 2**30
"""Decoded images of so many bytes in all are kept in memory unless asked otherwise."""
SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test"})


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
    """A folder with one subfolder of images a class: uint8 [N, 3, height, width] in 0-255.

    Classes are the subfolders' names in sorted order. Needs Pillow.

    A folder that is larger than a gigabyte once decoded is not read into memory: images are decoded batch by
    batch, by threads that are ahead of the training, and a whole population trains on each. To decode them
    anew in every epoch is still the dearest part of it; with ``cache`` they are decoded once, into a file of
    one byte a value that is mapped from then on, by later commands too. Results are the same to the last bit
    either way, but for preprocessing of more than 50,000 images (``Dataset.preprocessed``).

    Args:
        root: the folder; hidden files and files that are no images are passed over.
        size: (height, width) in pixels that every image is resized to; by default they must agree already.
        grayscale: one channel (luma) instead of three.
        in_memory: True: decode all images now; False: when they are needed; None, the default: now if they
            take no more than a gigabyte.
        cache: a folder for the decoded images, e.g. "/tmp/decoded"; none by default.
        val, test: counts or fractions (default a tenth each), stratified by class.
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
    classes = _classes(root)
    files = [(path, label) for label, name in enumerate(classes) for path in _image_files(root / name)]
    images = ImageFiles([path for path, _ in files], size, grayscale=grayscale)
    kept = images.size <= IN_MEMORY_BYTES if in_memory is None else in_memory
    x = images if cache is None else decoded_once(images, Path(cache).expanduser(), root.name)
    y = np.array([label for _, label in files], dtype=np.int64)
    parts = split(read_all(x) if kept else x, y, val=val, test=test, seed=seed, stratify=True)
    return validate(Dataset(root.name, *parts, classes)).preprocessed(preprocess)


def _classes(root: Path) -> tuple[str, ...]:
    if not root.is_dir():
        kind = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{root} {kind}", cure="name a folder with one subfolder of images a class")
    names = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] != "."))
    if len(names) < 2:
        problem = f"{root} has {len(names)} subfolders, so it has fewer than two classes"
        raise DataError(problem, cure="put the images of each class into a subfolder of its own")
    if SPLIT_NAMES.issuperset(name.lower() for name in names):
        problem = f"{root} has the subfolders {', '.join(names)}: these are splits, not classes"
        raise DataError(
            problem, cure=f"name one of them, e.g. {root / names[0]}; the splits are drawn from it"
        )
    return names


def _image_files(folder: Path) -> list[Path]:
    found = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != "."
    )
    if not found:
        raise DataError(f"{folder} holds no image", cure="add images to it, or remove the folder")
    return found

"""Data sets in a folder of images, one subfolder a class."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from babysit.data.dataset import Dataset, split, validate
from babysit.data.files import read
from babysit.data.preprocessing import Array, Transformer
from babysit.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
LONGEST_SIDE = 10_000
SPLIT_NAMES = frozenset({"train", "training", "val", "valid", "validation", "test"})


def image_folder(
    root: str | Path,
    size: tuple[int, int] | None = None,
    *,
    grayscale: bool = False,
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    preprocess: Sequence[Transformer] = (),
) -> Dataset:
    """A folder with one subfolder of images a class: uint8 [N, 3, height, width] in 0-255.

    Classes are the subfolders' names in sorted order. Needs Pillow.

    Args:
        root: the folder; hidden files and files that are no images are passed over.
        size: (height, width) in pixels that every image is resized to; by default they must agree already.
        grayscale: one channel (luma) instead of three.
        val, test: counts or fractions (default a tenth each), stratified by class.
        seed: of the split.
        preprocess: steps, fitted on the training split only.

    Raises:
        DataError: no such folder, no classes, an empty class, an image that is damaged or of another size.

    Example:
        >>> image_folder("photographs", size=(64, 64)).classes  # doctest: +SKIP
        ('cat', 'dog')
    """
    root = Path(root).expanduser()
    _check_size(size)
    classes = _classes(root)
    files = [(path, label) for label, name in enumerate(classes) for path in _image_files(root / name)]
    images = [_image(path, size, "L" if grayscale else "RGB") for path, _ in files]
    _check_sizes([path for path, _ in files], images)
    y = np.array([label for _, label in files], dtype=np.int64)
    parts = split(np.stack(images), y, val=val, test=test, seed=seed, stratify=True)
    return validate(Dataset(root.name, *parts, classes)).preprocessed(preprocess)


def _check_size(size: Any) -> None:
    if size is None:
        return
    given = isinstance(size, tuple | list) and len(size) == 2
    if not given or not all(type(length) is int and 0 < length <= LONGEST_SIDE for length in size):
        problem = f"size={size!r} is no height and width in pixels"
        raise DataError(problem, cure=f"give two whole numbers up to {LONGEST_SIDE}, e.g. size=(64, 64)")


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


def _image(path: Path, size: tuple[int, int] | None, mode: str) -> Array:
    """One image as uint8 [channels, height, width]."""
    pillow = _pillow()

    def parse(file: BinaryIO) -> Array:
        with pillow.open(file) as opened:
            image = opened.convert(mode)
        if size is not None:
            image = image.resize((size[1], size[0]), pillow.Resampling.BILINEAR)
        pixels = np.asarray(image, dtype=np.uint8)
        return pixels[None] if mode == "L" else np.ascontiguousarray(pixels.transpose(2, 0, 1))

    return read(path, parse, kind="an image", cure="save the image again, or remove the file")


def _pillow() -> Any:
    try:
        return import_module("PIL.Image")
    except ImportError as error:
        raise DataError("reading images needs Pillow", cure="pip install pillow") from error


def _check_sizes(paths: list[Path], images: list[Array]) -> None:
    expected = images[0].shape
    for path, image in zip(paths, images, strict=True):
        if image.shape != expected:
            this, first = (f"{height} x {width}" for _, height, width in (image.shape, expected))
            problem = f"{path} is {this} pixels (height x width), but {paths[0]} is {first}"
            raise DataError(problem, cure=f"pass size=({expected[1]}, {expected[2]}) to resize them all")

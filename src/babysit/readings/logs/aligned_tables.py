"""Tables aligned with blanks, as fastai, skorch and Ultralytics print them; the heading may be repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator

from babysit.readings.logs.numbers import Row, number_of
from babysit.readings.logs.quantities import chosen, meaning, split_of, tokens

EXAMPLE = (
    "epoch     train_loss  valid_loss  accuracy  time\n0         0.930000    0.880000    0.610000  00:12"
)

_FEWEST = 3
_OF_ALL = re.compile(r"(\d+)/\d+")


def recognizes(text: str) -> float:
    """Rates how certainly a text holds such a table, from 0 to 1."""
    return 0.88 if next(iter(_rows(text)), None) else 0.0


def read(text: str) -> list[Row]:
    """Reads one row per line below a heading.

    Example:
        >>> read(EXAMPLE)
        [{'epoch': 0.0, 'train_loss': 0.93, 'valid_loss': 0.88, 'valid_accuracy': 0.61}]
    """
    return list(_rows(text))


def _rows(text: str) -> Iterator[Row]:
    names: list[str] = []
    for line in re.split(r"[\r\n]+", text):
        wide = re.split(r"\s{2,}", line.strip())
        cells = wide if len(wide) >= _FEWEST else line.split()  # names of two words need wide gaps
        if _is_heading(cells):
            names, split = [], ""
            for name in cells:
                split = split_of(tokens(name)) or split
                # A score behind a validation loss is one of validation too.
                plain = meaning(name) == "train_accuracy" and not split_of(tokens(name))
                names.append(f"valid_{name}" if plain and split == "val" else name)
        elif names and len(cells) >= _FEWEST and _count(cells[0]) is not None:
            numbers = {name: _count(cell) for name, cell in zip(names, cells, strict=False)}
            yield {name: value for name, value in numbers.items() if value is not None}


def _is_heading(cells: list[str]) -> bool:
    if len(cells) < _FEWEST or any(number_of(cell) is not None or len(cell) > 40 for cell in cells):
        return False
    means = set(chosen(cells).values())
    # A heading holds names alone: a sentence that mentions them has other characters.
    return "epoch" in means and "cost" in means and all(re.fullmatch(r"[\w .()/@-]+", cell) for cell in cells)


def _count(cell: str) -> float | None:
    """Reads a cell as a number; of "3/10" the first."""
    part = _OF_ALL.fullmatch(cell)
    return float(part[1]) if part else number_of(cell)

"""Where a log comes from: a file, a folder or standard input, as text without what terminals add."""

from __future__ import annotations

import codecs
import re
import sys
from pathlib import Path

from babysit.errors import InputError, path_of
from babysit.readings.logs.processes import first_process

STDIN = "-"

_TRIAL_FILES = ("trial.json", "result.json")
"""Keras Tuner's and Ray Tune's, one in the folder of each trial."""

_FEW_ZEROS = 0.1

# Bounded, since a damaged log may open a hundred thousand titles and close none.
_ESCAPES = re.compile(r"\x1b\[[0-?]{0,40}[ -/]{0,10}[@-~]|\x1b\][^\x07\x1b]{0,400}\x07")


def text_of(where: str) -> str:
    """The text of a log, without colours; of several processes, the first one's.

    Args:
        where: a path, or "-" for standard input.

    Raises:
        InputError: for a file that is missing, empty or no text.
    """
    data = sys.stdin.buffer.read() if where == STDIN else _bytes(path_of(where))
    text = _ESCAPES.sub("", _decoded(data)).rstrip("\0")
    # A disk that was full or unplugged leaves some zeros in a text; in anything else there are many.
    if text.count("\0") > _FEW_ZEROS * len(text):
        raise InputError(f"{where} is no text", fix="give a printed log, or a TensorBoard event file")
    text = first_process(text.replace("\0", "").replace("\r\n", "\n"))
    if not text.strip():
        raise InputError(f"{where} is empty", fix="give the log of a training, e.g. `python train.py > log`")
    return text


def _bytes(path: Path) -> bytes:
    if path.is_dir() and (kept := _trials_in(path)):
        return b"\n".join(file.read_bytes() for file in kept)
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise InputError(
            f"{path} is a folder without TensorBoard event files, trial.json or result.json",
            fix="give the log itself, e.g. its metrics.csv or trainer_state.json",
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}", fix="give the path of a log, or - for standard input"
        ) from None


def _trials_in(folder: Path) -> list[Path]:
    """The files that tuners keep in a folder of each trial."""
    for name in _TRIAL_FILES:
        if found := sorted(folder.glob(f"*/{name}")):
            return found
    return []


def _decoded(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 as PowerShell redirects it; a damaged letter spoils no number."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")

"""The text of a log from a file, a folder or standard input, without terminal escapes."""

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

# Bounded, since a damaged log may start a hundred thousand titles without an end.
_ESCAPES = re.compile(r"\x1b\[[0-?]{0,40}[ -/]{0,10}[@-~]|\x1b\][^\x07\x1b]{0,400}\x07")


def text_of(where: str) -> str:
    """Reads the text of a log without colours; of several processes, the first one's.

    Args:
        where: a path, or "-" for standard input.

    Raises:
        InputError: the file is missing, empty or no text.
    """
    data = sys.stdin.buffer.read() if where == STDIN else _bytes(path_of(where))
    # PowerShell redirects in UTF-16; a damaged letter spoils no number.
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoded = data.decode("utf-16" if utf16 else "utf-8-sig", errors="replace")
    text = _ESCAPES.sub("", decoded).rstrip("\0")
    # A full or unplugged disk leaves a few zeros in a text; other files hold many.
    if text.count("\0") > _FEW_ZEROS * len(text):
        raise InputError(f"{where} is no text", fix="give a printed log, or a TensorBoard event file")
    text = first_process(text.replace("\0", "").replace("\r\n", "\n"))
    if not text.strip():
        raise InputError(f"{where} is empty", fix="give the log of a training, e.g. `python train.py > log`")
    return text


def _bytes(path: Path) -> bytes:
    if path.is_dir():
        for name in _TRIAL_FILES:
            if found := sorted(path.glob(f"*/{name}")):
                return b"\n".join(file.read_bytes() for file in found)
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

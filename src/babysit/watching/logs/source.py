"""Where a log comes from: a file, a folder or standard input, as text without what terminals add."""

from __future__ import annotations

import codecs
import re
import sys
from pathlib import Path

from babysit.errors import InputError

STDIN = "-"

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07")


def text_of(where: str) -> str:
    """The text of a log, without colours.

    Args:
        where: a path, or "-" for standard input.

    Raises:
        InputError: for a file that is missing, empty or no text.
    """
    data = sys.stdin.buffer.read() if where == STDIN else _bytes(Path(where))
    text = _ESCAPES.sub("", _decoded(data)).replace("\r\n", "\n")
    if "\0" in text:
        raise InputError(f"{where} is no text", cure="give a printed log, or a TensorBoard event file")
    if not text.strip():
        raise InputError(f"{where} is empty", cure="give the log of a training, e.g. `python train.py > log`")
    return text


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise InputError(
            f"{path} is a folder without TensorBoard event files",
            cure="give the log itself, e.g. its metrics.csv or trainer_state.json",
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}", cure="give the path of a log, or - for standard input"
        ) from None


def _decoded(data: bytes) -> str:
    """Text in UTF-8, or in UTF-16 as PowerShell redirects it; a damaged letter spoils no number."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    return data.decode("utf-8-sig", errors="replace")

"""One command line, run in this process: what it says, and that it says it properly."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from babysit.cli.main import main
from babysit.errors import InputError


class Answer(NamedTuple):
    """The exit code and what was printed."""

    code: int
    out: str
    err: str


def run(words: Sequence[str], folder: Path) -> Answer:
    """Runs a command in a folder; what it raises passes through."""
    # As Python opens them: what cannot be written fails on the first, and is escaped on the second.
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", errors=how) for how in ("strict", "backslashreplace"))
    with _in_folder(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        before, sys.argv = sys.argv, ["babysit", *words]
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
        finally:
            sys.argv = before
    told = []
    for stream in (out, err):
        stream.flush()
        told.append(stream.buffer.getvalue().decode())
    return Answer(code, *told)


def attempted(words: Sequence[str], folder: Path) -> Answer:
    """The same, with its promises: 0 or 1 for an answer, 2 with a message and a fix for a refusal.

    Raises:
        InputError: it was refused.
    """
    answer = run(words, folder)
    assert answer.code in (0, 1, 2), f"exit code {answer.code}"
    assert "Traceback" not in answer.err, answer.err
    if answer.code == 2:
        said = answer.err.partition("error:")[2] or answer.err.partition("Usage:")[2]
        assert said.strip(), f"exit code 2 without a message: {answer.err!r}"
        assert "fix:" in said or "Error" in said, f"no fix: {answer.err}"
        raise InputError(said.strip(), fix="as it says")
    return answer


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)

"""The entry point of the command line."""

from __future__ import annotations

import errno
import io
import os
import sys

from rich.markup import escape

from babysit.cli.app import app, error_console

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main() -> None:
    """Runs the command line and exits with its code; an answer that cannot be written has exit code 2."""
    try:
        _run()
    except BrokenPipeError:  # `| head -1` has seen enough
        _drop_output()
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _drop_output()
        where = f" to {error.filename}" if error.filename else ""
        what = escape(f"cannot write{where}: {error.strerror}")
        fix = "make room, or write it elsewhere"
        error_console().print(f"[red]error:[/red] {what}\n  fix: {fix}", soft_wrap=True)
        raise SystemExit(2) from None


def _run() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    try:
        app()
    finally:
        # At the interpreter's end it would be too late to say that this failed.
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()


def _drop_output() -> None:
    """Lets what is still buffered go nowhere, so that the interpreter's own end stays quiet."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)

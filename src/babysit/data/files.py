"""The folder of data sets, and a file reader that turns every failure into a ``DataError``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from babysit.errors import DataError

T = TypeVar("T")


def data_root() -> Path:
    """Returns the folder of named data sets: ``BABYSIT_DATA``, or ``babysit`` in the user's cache."""
    named = os.environ.get("BABYSIT_DATA")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "babysit"


def read(path: Path, parse: Callable[[BinaryIO], T], *, kind: str, fix: str) -> T:
    """Opens a file and returns the result of ``parse``.

    Args:
        path: the file.
        parse: receives the open file; may raise anything, preferably ValueError with a readable message.
        kind: the expected kind of file, e.g. "a gzip file of labels".
        fix: advice if it is damaged.

    Raises:
        DataError: the file is absent, a folder, not readable, or damaged; the message names it.
    """
    try:
        with path.open("rb") as file:
            return parse(file)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} does not exist", fix="check the path, or put the file there") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not {kind}", fix="name the file in it") from None
    except PermissionError:
        raise DataError(f"{path} may not be read by this user", fix=f"chmod u+r {path}") from None
    except Exception as error:  # a damaged file can make a parser raise anything at all
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise DataError(f"{path} cannot be read as {kind}: {reason}", fix=fix) from error

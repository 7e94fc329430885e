"""The errors that babysit raises on purpose; each message says what is wrong, where, and how to fix it.

    BabysitError
    ├── InputError           unusable input (exit code 2)
    │   ├── DataError        a data set: missing, damaged, mislabelled, empty, NaN
    │   ├── RecipeError      a recipe: cannot be loaded, raises, does not fit its data
    │   ├── SpaceError       a hyperparameter: unknown name, impossible range or value
    │   ├── StoreError       a store: not a database, read-only, full, of another version
    │   └── CheckpointError  a checkpoint: missing, damaged, of another run
    ├── WorkerError          a worker process died; the finished trials are kept
    └── StopRequested        the user asked a watched loop to stop that has ``stop="raise"``

A sick network is not an error: it yields a finding.
"""

from __future__ import annotations

import errno
from pathlib import Path


class BabysitError(Exception):
    """The base class of everything that babysit raises on purpose."""


class InputError(BabysitError):
    """Unusable input from the user; the message says what, where and the fix."""

    def __init__(self, problem: str, *, fix: str = "") -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(f"{problem}\n  fix: {fix}" if fix else problem)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive pickling, and errors cross from worker processes.
        return (_rebuild, (type(self), self.problem, self.fix))


def path_of(text: str) -> Path:
    """Returns typed text as a path.

    Raises:
        InputError: no file system can hold it: even a test of its existence raises.

    Example:
        >>> path_of("a" * 300)
        Traceback (most recent call last):
        babysit.errors.InputError: 'aaaaaaaaaaaaaaa...'... is not a valid path (File name too long)
          fix: give the path of a file
    """
    path, problem = Path(text), ""
    try:
        path.lstat()
    except OSError as error:
        problem = str(error.strerror) if error.errno == errno.ENAMETOOLONG else ""
    except ValueError as error:  # a NUL
        problem = str(error)
    if problem:
        raise InputError(f"{text[:40]!r}... is not a valid path ({problem})", fix="give the path of a file")
    return path


def _rebuild(kind: type[InputError], problem: str, fix: str) -> InputError:
    return kind(problem, fix=fix)


class DataError(InputError):
    """A data set is missing, damaged, mislabelled, empty or holds NaN."""


class RecipeError(InputError):
    """A recipe cannot be loaded, raises, or does not fit its data."""


class SpaceError(InputError):
    """A hyperparameter is unknown, or its range or value is impossible."""


class StoreError(InputError):
    """A store cannot be opened, read or written."""


class CheckpointError(InputError):
    """A checkpoint is missing, damaged or belongs to another run."""


class WorkerError(BabysitError):
    """A worker process died; the trials that it finished are kept."""


class StopRequested(BabysitError):  # noqa: N818 - a request is not an error
    """A request by the user to stop a watched loop; its watch, made with ``stop="raise"``, catches it."""

"""What every surface promises, and how one input is judged: taken, refused with a message, or a finding."""

from __future__ import annotations

import atexit
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

from babysit.errors import InputError

SECONDS = 20
"""An input that takes longer hangs; the slowest honest one takes a tenth of it on a busy machine."""

MEMORY = 400 * 2**20
"""No input of these sizes may take so many bytes."""

ACCEPTED, REFUSED = "accepted", "refused"


@dataclass(frozen=True)
class Surface:
    """One place where input from outside comes in.

    Attributes:
        name: what it is called, e.g. "data: idx".
        cases: makes inputs.
        attempt: (input, an empty or reused folder) -> nothing; raises InputError to refuse, and
            AssertionError where more was promised and is broken.
        examples: how many inputs the tests try.
        of_users: it runs code of the user's own, which may raise what it likes.
    """

    name: str
    cases: SearchStrategy[Any]
    attempt: Callable[[Any, Path], object]
    examples: int = 25
    of_users: bool = False


class _TooLong(KeyboardInterrupt):
    """No Exception, since a reader may turn those of its parser into refusals, and a recipe's exits, too."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends what takes too long, wherever Python is running; an alarm that was set before goes on."""

    def late(*_: object) -> None:
        raise _TooLong

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, late)
    left, every = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        if left:
            left = max(1e-3, left - (time.monotonic() - began))
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, left, every)


def scratch() -> Path:
    """A folder that stays until the process ends."""
    folder = tempfile.mkdtemp(prefix="babysit-fuzz-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def judge(surface: Surface, case: Any, folder: Path) -> str:
    """ "accepted" or "refused".

    Raises:
        AssertionError: it is a finding: another exception, an exit, a hang, much memory, a refusal that says
            nothing or that hides a failed allocation.
    """
    before = _peak()
    try:
        with at_most(SECONDS):
            surface.attempt(case, folder)
        outcome = ACCEPTED
    except InputError as refusal:
        _check_refusal(refusal, surface)
        outcome = REFUSED
    except AssertionError:
        raise
    except _TooLong as hung:
        raise AssertionError(f"it hangs at {_place(hung)}") from hung
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise AssertionError(f"{type(error).__name__} at {_place(error)}: {error}") from error
    taken = _peak() - before
    assert taken < MEMORY, f"it took {taken / 2**20:.0f} MiB"
    return outcome


def _check_refusal(refusal: InputError, surface: Surface) -> None:
    assert refusal.problem, "a refusal that says nothing"
    assert refusal.fix, f"a refusal without a fix: {refusal.problem}"
    hidden = "MemoryError" in str(refusal) and not surface.of_users
    assert not hidden, f"it was allocated before it was doubted: {refusal}"


def _peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _place(error: BaseException) -> str:
    """The innermost line of babysit's own in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/src/babysit/" in frame.filename] or list(frames)
    return f"{own[-1].filename.rpartition('/src/')[2]}:{own[-1].lineno}"

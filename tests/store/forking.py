"""Several processes that share what one of them has imported; only for a process without threads."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable


def forked(count: int, work: Callable[[int], object]) -> None:
    """Runs ``work(0)``, ``work(1)``, ... at once, each in a process; exits with 1 if one failed."""
    children = []
    for index in range(count):
        child = os.fork()
        if child == 0:
            os._exit(_outcome(work, index))
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(int(any(codes)))


def _outcome(work: Callable[[int], object], index: int) -> int:
    try:
        work(index)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

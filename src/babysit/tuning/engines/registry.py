"""The names of the engines, known without importing what only one of them needs."""

from __future__ import annotations

from importlib.util import find_spec

from babysit.errors import InputError
from babysit.recipe.space import closest

LOCAL, RAY = "local", "ray"
ENGINES = (LOCAL, RAY)
"""Accepted by ``--engine``."""


def check_engine(name: str, address: str = "") -> None:
    """Refuses an engine that does not exist, or whose package is not installed.

    Args:
        name: one of ``ENGINES``.
        address: of a cluster, which only Ray has.

    Raises:
        InputError: with the fix.

    Example:
        >>> check_engine("local")
        >>> check_engine("rey")
        Traceback (most recent call last):
        babysit.errors.InputError: there is no engine 'rey'
          fix: choose with --engine; did you mean 'ray'?
    """
    if name not in ENGINES:
        raise InputError(
            f"there is no engine {name!r}", fix=f"choose with --engine; {closest(name, ENGINES)}"
        )
    if address and name != RAY:
        raise InputError(f"the engine {name} has no cluster at {address!r}", fix="add --engine ray")
    if name == RAY and find_spec("ray") is None:
        raise InputError("the engine ray needs Ray, which is not installed", fix="pip install 'babysit[ray]'")

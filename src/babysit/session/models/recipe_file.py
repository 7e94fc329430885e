"""Checks the contents of a model's recipe file before any of it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from babysit.errors import CheckpointError


def _is_origin(found: object) -> bool:
    needed = {"builtin": ("name",), "memory": ("name",), "file": ("name", "path", "sha256")}
    if not isinstance(found, dict) or found.get("kind") not in tuple(needed):
        return False
    texts = [found.get(name) for name in needed[found["kind"]]]
    return all(isinstance(one, str) and "\0" not in one for one in texts)


def _is_step(found: object) -> bool:
    return (
        isinstance(found, dict)
        and isinstance(found.get("step"), str)
        and isinstance(found.get("parameters"), dict)
    )


_FACTS: Mapping[str, Callable[[Any], bool]] = {
    "recipe": _is_origin,
    "hyperparameters": lambda found: (
        isinstance(found, dict) and all(isinstance(one, bool | int | float | str) for one in found.values())
    ),
    "loss": lambda found: isinstance(found, str),
    "classes": lambda found: isinstance(found, list) and all(isinstance(one, str) for one in found),
    "preprocessing": lambda found: found is None or (isinstance(found, list) and all(map(_is_step, found))),
    "weights_sha256": lambda found: isinstance(found, str),
}


def check_facts(facts: Mapping[str, Any], file: Path) -> None:
    """Refuses a recipe file with a missing or malformed entry.

    Args:
        facts: the file's contents.
        file: the file, for the message.

    Raises:
        CheckpointError: the message names the entry.

    Example:
        >>> check_facts({"recipe": None}, Path("net.recipe.json"))
        Traceback (most recent call last):
        babysit.errors.CheckpointError: net.recipe.json is damaged: its 'recipe' is None
          fix: restore the file as it was written
    """
    for name, is_right in _FACTS.items():
        if name not in facts or not is_right(facts[name]):
            problem = f"its {name!r} is {str(facts[name])[:80]}" if name in facts else f"it has no {name!r}"
            raise CheckpointError(f"{file} is damaged: {problem}", fix="restore the file as it was written")

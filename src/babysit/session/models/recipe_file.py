"""What stands in a model's recipe file, checked before any of it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from babysit.errors import CheckpointError


def _is_values(found: object) -> bool:
    return isinstance(found, dict) and all(
        isinstance(one, bool | int | float | str) for one in found.values()
    )


def _are_steps(found: object) -> bool:
    return found is None or (isinstance(found, list) and all(map(_is_step, found)))


def _is_step(found: object) -> bool:
    return (
        isinstance(found, dict)
        and isinstance(found.get("step"), str)
        and isinstance(found.get("parameters"), dict)
    )


def _is_origin(found: object) -> bool:
    needed = {"builtin": ("name",), "memory": ("name",), "file": ("name", "path", "sha256")}
    if not isinstance(found, dict) or found.get("kind") not in tuple(needed):
        return False
    told = [found.get(name) for name in needed[found["kind"]]]
    return all(isinstance(one, str) and "\0" not in one for one in told)


_FACTS: Mapping[str, Callable[[object], bool]] = {
    "recipe": _is_origin,
    "hyperparameters": _is_values,
    "loss": lambda found: isinstance(found, str),
    "classes": lambda found: isinstance(found, list) and all(isinstance(one, str) for one in found),
    "preprocessing": _are_steps,
    "weights_sha256": lambda found: isinstance(found, str),
}


def check_facts(facts: Mapping[str, Any], file: Path) -> None:
    """Refuses a recipe file that lacks something, or holds something else in its place.

    Args:
        facts: its contents.
        file: the file, for the message.

    Raises:
        CheckpointError: the message names what is wrong.

    Example:
        >>> check_facts({"recipe": None}, Path("net.recipe.json"))
        Traceback (most recent call last):
        babysit.errors.CheckpointError: net.recipe.json is damaged: its 'recipe' is None
          fix: bring the file as it was written
    """
    for name, is_right in _FACTS.items():
        if name not in facts or not is_right(facts[name]):
            told = f"its {name!r} is {str(facts[name])[:80]}" if name in facts else f"it has no {name!r}"
            raise CheckpointError(f"{file} is damaged: {told}", fix="bring the file as it was written")

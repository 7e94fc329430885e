"""Refuses a space that contradicts itself, and points to try first that do not lie in it."""

from __future__ import annotations

from collections.abc import Mapping

from babysit.errors import SpaceError
from babysit.recipe.ranges import Fixed, Numeric, Plain, Range, When, plain
from babysit.recipe.space import Space
from babysit.recipe.text_format import closest
from babysit.records import Value


def check_conditions(space: Space) -> None:
    """Refuses conditions that can never hold: on names or options that do not exist, or in a circle.

    A condition on a fixed value that is another is not refused: fixing a name is how one of its variants is
    searched alone.

    Raises:
        SpaceError: with the name, what is wrong with its condition, and the fix.
    """
    for name, found in space.items():
        if isinstance(found, When):
            _check_condition(space, name, found)


def _check_condition(space: Space, name: str, found: When) -> None:
    chain = [name]
    parent: Range = found
    while isinstance(parent, When):
        if parent.parent in chain:
            circle = " -> ".join([*chain, parent.parent])
            raise SpaceError(f"{name} depends on itself: {circle}", fix="take one of the conditions away")
        if parent.parent not in space:
            raise SpaceError(
                f"{chain[-1]} exists when {parent.parent!r} has a value, but the space has no such name",
                fix=closest(parent.parent, [other for other in space if other != name]),
            )
        chain.append(parent.parent)
        parent = space[parent.parent]
    _check_values(name, found, plain(space[found.parent]))


def _check_values(name: str, found: When, parent: Plain) -> None:
    if isinstance(parent, Numeric) and not parent.whole:
        raise SpaceError(
            f"{name} exists only when {found.parent} is exactly {found.values[0]}, "
            f"but {found.parent} is drawn from real numbers",
            fix="condition it on a choice, an integer or a fixed value",
        )
    strangers = [value for value in found.values if not parent.holds(value)]
    if strangers and not isinstance(parent, Fixed):
        raise SpaceError(
            f"{name} exists when {found.parent} is {strangers[0]!r}, which is not in its range ({parent})",
            fix=f"add it to {found.parent}, or give {name} a value of its own: {name}=...",
        )


def check_point(space: Space, point: Mapping[str, Value]) -> dict[str, Value]:
    """A point to try first, its numbers of the kind that the ranges give.

    Args:
        space: the ranges.
        point: name -> value; names that it leaves out are drawn.

    Raises:
        SpaceError: for an unknown name, a value outside its range, or a name that does not exist there.

    Example:
        >>> from babysit.recipe.space import integer, uniform
        >>> check_point({"hidden": integer(10, 100), "l2": uniform(0, 1)}, {"hidden": 50.0, "l2": 1})
        {'hidden': 50, 'l2': 1.0}
    """
    if not isinstance(point, Mapping):
        raise SpaceError(
            f"the enqueued point {point!r} is no dictionary", fix="write {'learning_rate': 1e-3}"
        )
    for name, value in point.items():
        if name not in space:
            raise SpaceError(
                f"the enqueued point names {name!r}, which the space does not",
                fix=closest(name, list(space)),
            )
        found = space[name]
        if isinstance(found, When) and not found.is_met({**_fixed(space), **point}):
            raise SpaceError(
                f"the enqueued point gives {name}, which exists when {found.parent} is {found.values[0]}",
                fix=f"add {found.parent}={found.values[0]} to the point, or leave {name} out",
            )
        if not isinstance(value, bool | int | float | str) or not found.holds(value):
            raise SpaceError(
                f"the enqueued {name} = {value!r} lies outside its range, {plain(found)}",
                fix="move the point or widen the range",
            )
    return {name: _of_kind(plain(space[name]), value) for name, value in point.items()}


def _fixed(space: Space) -> dict[str, Value]:
    return {name: found.value for name, found in space.items() if isinstance(found, Fixed)}


def _of_kind(found: Plain, value: Value) -> Value:
    if not isinstance(found, Numeric):
        return value
    return int(value) if found.whole else float(value)

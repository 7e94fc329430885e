"""Validation of a space: conditions that cannot hold, and points to try first that lie outside."""

from __future__ import annotations

from collections.abc import Mapping

from babysit.errors import SpaceError
from babysit.recipe.ranges import Fixed, Numeric, Range, When, plain
from babysit.recipe.space import Space
from babysit.recipe.text_format import closest
from babysit.records import Value


def check_conditions(space: Space) -> None:
    """Refuses conditions that can never hold: on names or options that do not exist, or in a circle.

    A condition on another value than the one to which the parent is fixed is allowed: a parent is fixed to
    search one of its variants alone.

    Raises:
        SpaceError: with the name, the fault of its condition, and the fix.
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
    bare = plain(space[found.parent])
    if isinstance(bare, Numeric) and not bare.whole:
        raise SpaceError(
            f"{name} exists only when {found.parent} is exactly {found.values[0]}, "
            f"but {found.parent} is drawn from real numbers",
            fix="condition it on a choice, an integer or a fixed value",
        )
    outside = [value for value in found.values if not bare.holds(value)]
    if outside and not isinstance(bare, Fixed):
        raise SpaceError(
            f"{name} exists when {found.parent} is {outside[0]!r}, which is not in its range ({bare})",
            fix=f"add it to {found.parent}, or give {name} a value without a condition: {name}=...",
        )


def check_point(space: Space, point: Mapping[str, Value]) -> dict[str, Value]:
    """Checks a point to try first, and returns it with whole numbers as int and others as float.

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
    fixed = {name: found.value for name, found in space.items() if isinstance(found, Fixed)}
    checked: dict[str, Value] = {}
    for name, value in point.items():
        if name not in space:
            raise SpaceError(
                f"the enqueued point names {name!r}, which the space does not",
                fix=closest(name, list(space)),
            )
        found = space[name]
        if isinstance(found, When) and not found.is_met({**fixed, **point}):
            raise SpaceError(
                f"the enqueued point gives {name}, which exists when {found.parent} is {found.values[0]}",
                fix=f"add {found.parent}={found.values[0]} to the point, or leave {name} out",
            )
        if not isinstance(value, bool | int | float | str) or not found.holds(value):
            raise SpaceError(
                f"the enqueued {name} = {value!r} lies outside its range, {plain(found)}",
                fix="move the point or widen the range",
            )
        bare = plain(found)
        if isinstance(bare, Numeric):
            value = int(value) if bare.whole else float(value)
        checked[name] = value
    return checked

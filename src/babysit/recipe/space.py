"""The space of hyperparameters (name -> range): sampling, conditions, conversion to plain data.

The kinds of ranges and the functions that make them are re-exported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from babysit.recipe.constructors import as_range as as_range
from babysit.recipe.constructors import choice as choice
from babysit.recipe.constructors import integer as integer
from babysit.recipe.constructors import log_uniform as log_uniform
from babysit.recipe.constructors import powers_of_ten as powers_of_ten
from babysit.recipe.constructors import uniform as uniform
from babysit.recipe.constructors import when as when
from babysit.recipe.parse import parse as parse
from babysit.recipe.ranges import Choice as Choice
from babysit.recipe.ranges import Fixed as Fixed
from babysit.recipe.ranges import Numeric as Numeric
from babysit.recipe.ranges import Plain as Plain
from babysit.recipe.ranges import Range as Range
from babysit.recipe.ranges import When as When
from babysit.recipe.ranges import plain as plain
from babysit.recipe.text_format import closest as closest
from babysit.recipe.text_format import number as number
from babysit.records import Value

Space = Mapping[str, Range]


def sample(
    space: Space, generator: np.random.Generator, given: Mapping[str, Value] | None = None
) -> dict[str, Value]:
    """Draws a value for every name that exists, in alphabetical order.

    Names whose condition does not hold are drawn too, so that conditions and given values do not change the
    draws of other names.

    Args:
        space: the ranges.
        generator: the source of the draws.
        given: values that are not drawn; conditions are decided by them. Default: none.

    Example:
        >>> sample({"hidden": Fixed(50), "l2": log_uniform(1e-3, 1e-1)}, np.random.default_rng(0))["hidden"]
        50
    """
    drawn = {name: space[name].sample(generator) for name in sorted(space)}
    return existing(space, {name: drawn[name] for name in space} | dict(given or {}))


def existing(space: Space, values: Mapping[str, Value]) -> dict[str, Value]:
    """Keeps the values whose conditions hold; a condition on a name that does not exist does not hold.

    Example:
        >>> space = {"update": choice("sgd", "momentum"), "momentum": when("update", "momentum", 0.9)}
        >>> existing(space, {"update": "sgd", "momentum": 0.9})
        {'update': 'sgd'}
    """
    kept = dict(values)
    while absent := [
        name for name in kept if isinstance(found := space[name], When) and not found.is_met(kept)
    ]:
        kept = {name: value for name, value in kept.items() if name not in absent}
    return kept


def middle(space: Space) -> dict[str, Value]:
    """Returns the middle of every range in its scale, and the first option of a choice, for names that exist.

    Example:
        >>> middle({"learning_rate": log_uniform(1e-4, 1e-2), "act": choice("relu", "tanh")})
        {'learning_rate': 0.001, 'act': 'relu'}
    """
    return existing(space, {name: found.middle() for name, found in space.items()})


def variants(space: Space) -> Iterator[dict[str, Value]]:
    """Yields the middle of the space with every other option of every choice, one at a time.

    Example:
        >>> list(variants({"act": choice("relu", "tanh"), "slope": when("act", "tanh", 0.1)}))
        [{'act': 'tanh', 'slope': 0.1}]
    """
    centre = {name: found.middle() for name, found in space.items()}
    for name, found in space.items():
        bare = plain(found)
        for option in bare.options[1:] if isinstance(bare, Choice) else ():
            yield existing(space, {**centre, **_parents(space, name), name: option})


def _parents(space: Space, name: str) -> dict[str, Value]:
    """Returns values of a name's parents under which it exists."""
    found = space[name]
    if not isinstance(found, When):
        return {}
    return {**_parents(space, found.parent), found.parent: found.values[0]}


def searched(space: Space) -> dict[str, Numeric]:
    """Returns the numeric ranges, i.e. those that have edges, without their conditions.

    Example:
        >>> list(searched({"hidden": Fixed(50), "l2": log_uniform(1e-3, 1e-1)}))
        ['l2']
    """
    bare = {name: plain(found) for name, found in space.items()}
    return {name: found for name, found in bare.items() if isinstance(found, Numeric)}


def as_data(space: Space) -> dict[str, Any]:
    """Converts the space to plain data, for the store."""
    return {name: found.as_data() for name, found in space.items()}


def from_data(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Range]:
    """Makes a space of plain data; the inverse of ``as_data``.

    Example:
        >>> space = {"hidden": integer(10, 100, log=True), "act": choice("relu"), "l2": Fixed(0.1)}
        >>> from_data(as_data(space)) == space
        True
    """
    return {name: _range_from_data(entry) for name, entry in data.items()}


def _range_from_data(entry: Mapping[str, Any]) -> Range:
    found: Plain
    if entry["kind"] == "fixed":
        found = Fixed(entry["value"])
    elif entry["kind"] == "choice":
        found = Choice(tuple(entry["choices"]))
    else:
        found = Numeric(
            entry["low"],
            entry["high"],
            log=entry["log"],
            whole=entry["kind"] == "integer",
            step=entry.get("step"),
            natural_limit=entry.get("natural_limit", ""),
        )
    if "when" not in entry:
        return found
    return When(entry["when"]["parent"], tuple(entry["when"]["values"]), found)

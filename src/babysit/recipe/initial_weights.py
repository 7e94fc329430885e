"""The initialization named in a recipe: ``initialization="he"`` or ``"small_random(scale=1e-4)"``."""

from __future__ import annotations

import ast
from typing import Any, NamedTuple

from babysit.errors import SpaceError
from babysit.nn.initialization import INITIALIZERS
from babysit.recipe.space import closest

INITIALIZATION = "initialization"
"""The hyperparameter that names a scheme for the initial weights; without it the model's own stay."""


class Scheme(NamedTuple):
    """A scheme's name and its options."""

    name: str
    options: dict[str, Any]


def parse_scheme(value: object) -> Scheme:
    """Reads the value of the hyperparameter.

    Args:
        value: a scheme's name, with its options in brackets where they are not the defaults.

    Raises:
        SpaceError: for a scheme or option that does not exist.

    Example:
        >>> parse_scheme("small_random(scale=1e-4)")
        Scheme(name='small_random', options={'scale': 0.0001})
    """
    name, bracket, _ = str(value).partition("(")
    name = name.strip()
    if name not in INITIALIZERS:
        raise SpaceError(
            f"{INITIALIZATION} = {value!r}: there is no scheme {name!r}",
            cure=closest(name, list(INITIALIZERS)),
        )
    options = _options(str(value)) if bracket else {}
    known = INITIALIZERS[name].options
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise SpaceError(
            f"{INITIALIZATION} = {value!r}: {name} has no option {unknown[0]!r}",
            cure=f"its options are {', '.join(known) or 'none'}",
        )
    return Scheme(name, options)


def _options(text: str) -> dict[str, Any]:
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError(text)
        return {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        raise SpaceError(
            f"{INITIALIZATION} = {text!r} cannot be read", cure="write e.g. small_random(scale=1e-4)"
        ) from None

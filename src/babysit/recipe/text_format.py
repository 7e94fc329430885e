"""Text of numbers (1e-4, not 0.0001) and of names with options, ``name(option=value)``; hints for typos."""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from babysit.errors import SpaceError


def number(value: float) -> str:
    """Formats a number as people write it: 1e-4 rather than 0.0001, 50 rather than 50.0.

    Example:
        >>> [number(value) for value in (1e-4, 4.2968e-4, 50.0, 0.25, 1e5)]
        ['1e-4', '4.297e-4', '50', '0.25', '1e5']
    """
    if value == 0 or not math.isfinite(value) or 1e-2 <= abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def closest(name: str, known: Sequence[str]) -> str:
    """Makes a hint for a misspelt name: ``did you mean 'hidden'?``, or the list of known names."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known names: {', '.join(known)}"


class Scheme(NamedTuple):
    """A named scheme with its options."""

    name: str
    options: dict[str, Any]


def read_scheme(what: str, value: object, known: Mapping[str, Sequence[str]]) -> Scheme:
    """Reads ``he`` or ``small_random(scale=1e-4)``: a name, with options in brackets.

    Args:
        what: the hyperparameter, for the message.
        value: its value.
        known: every name with those of its options.

    Raises:
        SpaceError: for a name or option that does not exist.

    Example:
        >>> read_scheme("initialization", "small_random(scale=1e-4)", {"small_random": ["scale"]})
        Scheme(name='small_random', options={'scale': 0.0001})
    """
    name, bracket, _ = str(value).partition("(")
    name = name.strip()
    if name not in known:
        raise SpaceError(f"{what} = {value!r}: there is no {name!r}", fix=closest(name, list(known)))
    options = _options(what, str(value), name) if bracket else {}
    unknown = sorted(set(options) - set(known[name]))
    if unknown:
        raise SpaceError(
            f"{what} = {value!r}: {name} has no option {unknown[0]!r}",
            fix=f"its options are {', '.join(known[name]) or 'none'}",
        )
    return Scheme(name, options)


def _options(what: str, text: str, name: str) -> dict[str, Any]:
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError(text)
        return {keyword.arg or "": ast.literal_eval(keyword.value) for keyword in call.keywords}
    except (SyntaxError, ValueError):
        raise SpaceError(
            f"{what} = {text!r} cannot be read",
            fix=f"write {name}(option=value), e.g. small_random(scale=1e-4)",
        ) from None

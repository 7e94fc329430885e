"""Parser of ranges on a command line: as in a recipe, but text needs no quotes."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable, Sequence

from babysit.errors import SpaceError
from babysit.recipe.constructors import choice, integer, log_uniform, powers_of_ten, uniform, when
from babysit.recipe.ranges import Fixed, Range
from babysit.records import Value

MAKERS: dict[str, Callable[..., Range]] = {
    maker.__name__: maker for maker in (log_uniform, powers_of_ten, uniform, integer, choice, when)
}

FOREIGN = {
    "loguniform": "log_uniform(low, high)",
    "lograndint": "integer(low, high, log=True)",
    "randint": "integer(low, high)",
    "quniform": "uniform(low, high, step=...)",
    "qrandint": "integer(low, high, step=...)",
    "quantized": "integer(low, high, step=...)",
    "categorical": "choice(...)",
    "grid_search": "choice(...)",
    "suggest_float": "uniform(low, high) or log_uniform(low, high)",
    "suggest_int": "integer(low, high)",
    "suggest_categorical": "choice(...)",
    "FloatDistribution": "uniform(low, high) or log_uniform(low, high)",
    "IntDistribution": "integer(low, high)",
    "CategoricalDistribution": "choice(...)",
}
"""Names of ranges in other tools -> how to write them here."""


def parse(name: str, text: str, *, schemes: bool = False) -> Range:
    """Reads one setting as it is typed on a command line: a value, or a range as it is written in a recipe.

    Args:
        name: the hyperparameter, for the message.
        text: ``1e-3``, ``true``, ``relu``, ``log_uniform(1e-6, 1e-3)``, ``powers_of_ten(-6, -3)``,
            ``integer(32, 256, step=32)``, ``choice(relu, tanh)``,
            ``when(update, momentum, uniform(0.5, 0.99))``.
        schemes: values may be names with options, ``choice(he, small_random(scale=1e-4))``.

    Raises:
        SpaceError: for a range that cannot be read.

    Example:
        >>> parse("learning_rate", "1e-3"), parse("hidden", "choice(50, 100)")
        (Fixed(value=0.001), Choice(options=(50, 100)))
        >>> str(parse("momentum", "when(update, momentum, uniform(0.5, 0.99))"))
        'uniform 0.5 to 0.99 (when update is momentum)'
    """
    text = text.strip()
    maker, bracket, rest = text.partition("(")
    if not bracket or text[0] in "'\"":
        return Fixed(literal(text))
    if maker.strip() not in MAKERS or not rest.endswith(")"):
        raise SpaceError(f"{name}={text}: cannot read this range", fix=hint(maker.strip()))
    try:
        made = _built(ast.parse(text, mode="eval").body, schemes)
    except SpaceError as error:
        raise SpaceError(f"{name}={text}: {error.problem}", fix=error.fix) from None
    except (ValueError, SyntaxError, TypeError):
        raise SpaceError(
            f"{name}={text}: cannot read this range",
            fix="write e.g. log_uniform(1e-6, 1e-3), choice(relu, tanh); text that is no word needs quotes",
        ) from None
    return made


def hint(maker: str) -> str:
    """Suggests what to write instead of a range that does not exist.

    Example:
        >>> hint("loguniform"), hint("log_unifrom")
        ('write log_uniform(low, high)', "did you mean 'log_uniform'?")
    """
    return near_hint(maker) or f"use {', '.join(f'{known}(...)' for known in MAKERS)}"


def near_hint(maker: str) -> str:
    """Suggests what to write for a name that is near that of a range; empty for any other name.

    Example:
        >>> near_hint("randint"), near_hint("report")
        ('write integer(low, high)', '')
    """
    if maker in FOREIGN:
        return f"write {FOREIGN[maker]}"
    near = difflib.get_close_matches(maker, MAKERS, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def _built(call: ast.expr, schemes: bool) -> Range:
    """Makes the range that a call of one of ``MAKERS`` describes; nothing else is called."""
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
        raise ValueError(ast.dump(call))
    if call.func.id not in MAKERS:
        raise SpaceError(f"there is no range {call.func.id}(...)", fix=hint(call.func.id))
    options = {keyword.arg or "": _argument(keyword.value, schemes) for keyword in call.keywords}
    return MAKERS[call.func.id](*(_argument(argument, schemes) for argument in call.args), **options)


def _argument(node: ast.expr, schemes: bool) -> object:
    if isinstance(node, ast.Call):
        is_range = isinstance(node.func, ast.Name) and node.func.id in MAKERS
        return ast.unparse(node) if schemes and not is_range else _built(node, schemes)
    if isinstance(node, ast.Name):
        return literal(node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return [_argument(element, schemes) for element in node.elts]
    value: object = ast.literal_eval(node)
    return value


def literal(text: str) -> Value:
    """Reads a value as it is typed: a truth value, a number, else the text itself; in quotes always text.

    Example:
        >>> literal("true"), literal("50"), literal("1e-3"), literal("relu"), literal("'50'")
        (True, 50, 0.001, 'relu', '50')
    """
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parse_points(texts: Sequence[str]) -> list[dict[str, Value]]:
    """Reads points to try first, each as ``name=value,name=value``.

    Raises:
        SpaceError: for a part without an equals sign.

    Example:
        >>> parse_points(["learning_rate=1e-3,l2=0.1", "initialization=small_random(scale=1e-4)"])
        [{'learning_rate': 0.001, 'l2': 0.1}, {'initialization': 'small_random(scale=1e-4)'}]
    """
    points = []
    for text in texts:
        point: dict[str, Value] = {}
        for part in re.split(r",(?![^(]*\))", text):  # a comma in brackets separates no names
            name, equals, value = part.partition("=")
            if not equals or not name.strip() or not value.strip():
                raise SpaceError(
                    f"cannot read {part.strip()!r} of the point {text!r}",
                    fix="write name=value,name=value, e.g. --enqueue learning_rate=1e-3,l2=0.1",
                )
            point[name.strip()] = literal(value.strip())
        points.append(point)
    return points

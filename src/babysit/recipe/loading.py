"""Finds a recipe by name or file, and reads its space from the command line's settings."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from babysit.errors import RecipeError, SpaceError, path_of
from babysit.recipe.building import calling
from babysit.recipe.builtin import BUILTIN
from babysit.recipe.initial_weights import INITIALIZATION
from babysit.recipe.input_steps import PREPROCESSING
from babysit.recipe.parse import parse, parse_points
from babysit.recipe.recipe import RULES, Recipe
from babysit.recipe.space import Fixed, Range, as_range, closest
from babysit.records import Value

Settings = Sequence[str] | Mapping[str, object]
"""``name=value`` texts as on a command line; or name -> value or range, which stays what it is."""

Points = Sequence[str | Mapping[str, Value]]
"""Points to try first: ``name=value,name=value`` texts, or name -> value."""

_EXAMPLES = {"loss": "softmax", "update": "sgd", "schedule": "cosine"}

FILE_MODULE = "babysit_recipe_"
"""Prefix of the module name of a recipe file. Other modules cannot import it."""


def load_recipe(text: str) -> Recipe:
    """Returns the built-in recipe of a name, or the recipe in a Python file.

    Args:
        text: "digits", "cifar10", "fashion-mnist", "path/to/file.py", or "path/to/file.py:name" where a
            file holds several.

    Raises:
        RecipeError: if there is none, or the file cannot be run.

    Example:
        >>> load_recipe("digits").batch_size
        50
    """
    if text in BUILTIN:
        return BUILTIN[text]
    path, _, name = text.partition(":")
    file = path_of(path).expanduser()
    if file.suffix != ".py" and not file.exists():
        raise RecipeError(
            f"there is no built-in recipe named {text!r}",
            fix=f"{closest(text, list(BUILTIN))} For your own file give its path, ending in .py",
        )
    if file.is_dir():
        raise RecipeError(
            f"{path} is a directory", fix="give the recipe file in it, e.g. {}".format(file / "recipe.py")
        )
    if not file.is_file():
        raise RecipeError(
            f"there is no recipe file {path}", fix=f"`babysit new {path}` writes one to start from"
        )
    if file.suffix != ".py":
        raise RecipeError(f"{path} is no Python file", fix="a recipe is a Python file; its name ends in .py")
    return _find_recipe(_run(file), file, name)


def _run(file: Path) -> ModuleType:
    """Runs a recipe file as a module."""
    name = f"{FILE_MODULE}{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{file} cannot be loaded as Python", fix="a recipe is a Python file ending in .py")
    module, loader = importlib.util.module_from_spec(spec), spec.loader
    sys.modules[name] = module  # where dataclasses and pickle look up the module of a class
    try:
        calling(f"the recipe file {file}", lambda: loader.exec_module(module))
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _find_recipe(module: ModuleType, file: Path, name: str) -> Recipe:
    found = {key: value for key, value in vars(module).items() if isinstance(value, Recipe)}
    if name:
        if name not in found:
            raise RecipeError(
                f"{file} has no recipe named {name!r}", fix=f"it holds: {', '.join(found) or 'none'}"
            )
        return _named(found[name], file)
    if not found:
        raise RecipeError(
            f"{file} holds no recipe",
            fix="assign one at the top level: recipe = bs.Recipe(data, model, space=...); "
            "`babysit new FILE` writes an example",
        )
    if len(found) > 1 and "recipe" not in found:
        raise RecipeError(
            f"{file} holds several recipes: {', '.join(found)}",
            fix=f"name one: {file}:{next(iter(found))}",
        )
    return _named(found.get("recipe", next(iter(found.values()))), file)


def _named(recipe: Recipe, file: Path) -> Recipe:
    return recipe if recipe.name else replace(recipe, name=file.stem)


def parse_settings(settings: Sequence[str]) -> dict[str, Range]:
    """Reads ``name=value`` settings; a value may be a range, e.g. ``l2=log_uniform(1e-5, 1)``.

    Raises:
        SpaceError: for a setting without an equals sign, or a value that cannot be read.

    Example:
        >>> parse_settings(["learning_rate=1e-3", "hidden=choice(50, 100)"])
        {'learning_rate': Fixed(value=0.001), 'hidden': Choice(options=(50, 100))}
    """
    found: dict[str, Range] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise SpaceError(f"cannot read the setting {setting!r}", fix="write name=value, e.g. -s l2=1e-3")
        name, text = name.strip(), text.strip()
        has_options = name in (
            INITIALIZATION,
            PREPROCESSING,
        )  # their values may have brackets and be no range
        if has_options and not text.startswith(("choice(", "when(")):
            found[name] = Fixed(text)
        else:
            found[name] = parse(name, text, schemes=has_options)
    return found


def apply_settings(
    recipe: Recipe, settings: Settings, *, epochs: int | None = None, enqueue: Points = ()
) -> Recipe:
    """Applies settings to a recipe, of its space or of ``epochs``, ``update``, ``loss`` and ``schedule``.

    Args:
        recipe: the recipe as it was written.
        settings: ``name=value`` texts, or name -> value or range.
        epochs: of one training; None leaves the recipe's.
        enqueue: points to try first, as texts or name -> value; they come before the recipe's own.

    Raises:
        SpaceError, RecipeError: for a name or value that does not exist.

    Example:
        >>> changed = apply_settings(load_recipe("digits"), ["update=adam", "l2=0"], epochs=3)
        >>> changed.update, changed.epochs, changed.space["l2"]
        ('adam', 3, Fixed(value=0))
    """
    if isinstance(settings, Mapping):
        found = {name: as_range(name, _plain(value)) for name, value in settings.items()}
    else:
        found = parse_settings(settings)
    fixed: dict[str, Any] = {}
    for name in ("loss", *RULES):
        value = found.get(name)
        is_searched = name in RULES and not isinstance(value, Fixed)
        if value is None or name in recipe.space or is_searched:
            continue
        if not isinstance(value, Fixed) or not isinstance(value.value, str):
            fix = f"write one name, e.g. {name}={_EXAMPLES[name]}"
            raise SpaceError(f"{name} = {value} is no name", fix=fix)
        fixed[name] = value.value
        del found[name]
    if "epochs" in found:
        value = found.pop("epochs")
        if not isinstance(value, Fixed) or type(value.value) is not int or value.value < 1:
            raise SpaceError(f"epochs = {value} is not a whole number above 0", fix="write e.g. epochs=10")
        epochs = value.value
    changed = replace(recipe, enqueue=(), **fixed).with_settings(found, epochs=epochs)
    points = (
        {name: _plain(value) for name, value in point.items()}
        if isinstance(point, Mapping)
        else parse_points([point])[0]
        for point in enqueue
    )
    return replace(changed, enqueue=(*points, *recipe.enqueue))


def _plain(value: Any) -> Any:
    """Returns the Python number of a number of NumPy; any other value as it is."""
    return value.item() if isinstance(value, np.generic) else value

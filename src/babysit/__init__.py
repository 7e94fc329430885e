"""babysit: why isn't my network learning, what fixes it, and which hyperparameters should I use?

The public names are these; inside the package every module imports the one that defines a name. A name is
imported at its first use, so that ``babysit --help`` does not wait for PyTorch.
"""

import typing as _typing

if _typing.TYPE_CHECKING:
    from babysit import data as data
    from babysit import nn as nn
    from babysit.checks.check import check as check
    from babysit.diagnosis.report import Report as Report
    from babysit.errors import BabysitError as BabysitError
    from babysit.errors import InputError as InputError
    from babysit.errors import StopRequested as StopRequested
    from babysit.recipe.recipe import Hyperparameters as Hyperparameters
    from babysit.recipe.recipe import Recipe as Recipe
    from babysit.recipe.space import choice as choice
    from babysit.recipe.space import integer as integer
    from babysit.recipe.space import log_uniform as log_uniform
    from babysit.recipe.space import powers_of_ten as powers_of_ten
    from babysit.recipe.space import uniform as uniform
    from babysit.recipe.space import when as when
    from babysit.session.api import open as open
    from babysit.session.api import search as search
    from babysit.session.api import train as train
    from babysit.session.jobs.verify import verify as verify
    from babysit.session.models.export import load as load
    from babysit.session.save_report import save_report as save_report
    from babysit.session.study import Study as Study
    from babysit.session.watch import watch as watch

_HOMES = {
    "check": "checks.check",
    "Report": "diagnosis.report",
    **dict.fromkeys(("BabysitError", "InputError", "StopRequested"), "errors"),
    **dict.fromkeys(("Hyperparameters", "Recipe"), "recipe.recipe"),
    **dict.fromkeys(("choice", "integer", "log_uniform", "powers_of_ten", "uniform", "when"), "recipe.space"),
    **dict.fromkeys(("open", "search", "train"), "session.api"),
    "verify": "session.jobs.verify",
    "load": "session.models.export",
    "save_report": "session.save_report",
    "Study": "session.study",
    "watch": "session.watch",
}
"""Public name -> the module that defines it."""

__version__ = "0.1.0"
__all__ = ["data", "nn", *_HOMES]


def __dir__() -> list[str]:
    """Lists the public names, imported or not."""
    return sorted({*globals(), *__all__})


if not _typing.TYPE_CHECKING:  # a type checker keeps refusing names that do not exist

    def __getattr__(name: str) -> object:
        """Imports a public name; for ranges as other tools spell them, ``bs.loguniform``, names ours."""
        import importlib

        if name in ("data", "nn"):
            return importlib.import_module(f"babysit.{name}")
        if name in _HOMES:
            globals()[name] = found = getattr(importlib.import_module(f"babysit.{_HOMES[name]}"), name)
            return found
        hint = ""
        if not name.startswith("_"):
            from babysit.recipe.parse import near_hint

            hint = near_hint(name)
        raise AttributeError(f"module 'babysit' has no attribute {name!r}" + (f": {hint}" if hint else ""))

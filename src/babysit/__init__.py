"""babysit: why isn't my network learning, what fixes it, and which hyperparameters should I use?

The public names are these; inside the package everyone imports the module that defines a name.
"""

import typing as _typing

from babysit import data as data
from babysit import nn as nn
from babysit.checks.check import check as check
from babysit.diagnosis.report import Report as Report
from babysit.errors import BabysitError as BabysitError
from babysit.errors import InputError as InputError
from babysit.errors import StopRequested as StopRequested
from babysit.recipe.parse import near_hint as _near_hint
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

if not _typing.TYPE_CHECKING:  # a type checker goes on refusing names that do not exist

    def __getattr__(name: str) -> object:
        """Ranges as other tools spell them, ``bs.loguniform``, are told what they are called here."""
        hint = _near_hint(name)
        raise AttributeError(f"module 'babysit' has no attribute {name!r}" + (f": {hint}" if hint else ""))


__version__ = "0.1.0"

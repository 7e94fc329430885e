"""babysit: why isn't my network learning, what fixes it, and which hyperparameters should I use?

The public names are these; inside the package everyone imports the module that defines a name.
"""

from babysit import data as data
from babysit import nn as nn
from babysit.checks.program_check import check as check
from babysit.errors import BabysitError as BabysitError
from babysit.errors import InputError as InputError
from babysit.recipe.recipe import Hyperparameters as Hyperparameters
from babysit.recipe.recipe import Recipe as Recipe
from babysit.recipe.space import choice as choice
from babysit.recipe.space import integer as integer
from babysit.recipe.space import log_uniform as log_uniform
from babysit.recipe.space import uniform as uniform
from babysit.session.reports import save_report as save_report
from babysit.session.verifying import verify as verify
from babysit.session.watching import watch as watch
from babysit.verdict.report import Report as Report

__version__ = "0.1.0"

"""Inputs at random for every surface; see docs/reliability.md, "Fuzzing"."""

from .dashboards import SURFACES as HTTP
from .data_files import SURFACES as DATA
from .logs import SURFACES as LOGS
from .models import SURFACES as MODELS
from .recipes import SURFACES as RECIPES
from .stores import SURFACES as STORES
from .typed import SURFACES as TYPED

SURFACES = (*DATA, *RECIPES, *TYPED, *LOGS, *MODELS, *STORES, *HTTP)

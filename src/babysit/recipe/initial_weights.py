"""The initialization named in a recipe: ``initialization="he"`` or ``"small_random(scale=1e-4)"``."""

from __future__ import annotations

from babysit.nn.initialization import INITIALIZERS
from babysit.recipe.text_format import Scheme, read_scheme

INITIALIZATION = "initialization"
"""The hyperparameter that names a scheme for the initial weights. Without it the model keeps its own."""


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
    known = {name: list(row.options) for name, row in INITIALIZERS.items()}
    return read_scheme(INITIALIZATION, value, known)

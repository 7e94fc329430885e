"""The preprocessing named in a recipe: ``preprocessing="standardize"`` or ``"pca_whiten(floor=0.1)"``."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from babysit.data.decorrelation import PCA, Whiten
from babysit.data.preprocessing import ChannelMean, MeanImage, Standardize, Transformer
from babysit.recipe.text_format import read_scheme

PREPROCESSING = "preprocessing"
"""The hyperparameter that names the preprocessing. Without it the data set keeps its own."""

STEPS: dict[str, Callable[..., Transformer] | None] = {
    "none": None,
    "mean_image": MeanImage,
    "channel_mean": ChannelMean,
    "standardize": Standardize,
    "pca": PCA,
    "pca_whiten": Whiten,
}


def parse_steps(value: object) -> list[Transformer]:
    """Makes the steps that the value of the hyperparameter names, not yet fitted.

    Args:
        value: one of ``STEPS``, with its options in brackets where they are not the defaults.

    Raises:
        SpaceError: for a step or option that does not exist.

    Example:
        >>> parse_steps("standardize(per='channel')"), parse_steps("none")
        ([Standardize(per='channel')], [])
    """
    known = {name: list(inspect.signature(step).parameters) if step else [] for name, step in STEPS.items()}
    scheme = read_scheme(PREPROCESSING, value, known)
    step = STEPS[scheme.name]
    return [] if step is None else [step(**scheme.options)]

"""Every experiment of the lab by name, in the lecture's order."""

from __future__ import annotations

from babysit.errors import InputError
from babysit.lab import (
    activations,
    batchnorm,
    dead_units,
    initialization,
    learning_rate,
    preprocessing,
    random_vs_grid,
    relu_race,
    saturation,
    update_ratio,
    zigzag,
)
from babysit.lab.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        activations,
        zigzag,
        relu_race,
        dead_units,
        preprocessing,
        initialization,
        saturation,
        batchnorm,
        learning_rate,
        random_vs_grid,
        update_ratio,
    )
}


def experiment(name: str) -> Experiment:
    """Returns the experiment of that name.

    Raises:
        InputError: there is none; the message lists the names.

    Example:
        >>> experiment("zigzag").slides
        "'Activation Functions'"
    """
    if name not in EXPERIMENTS:
        known = ", ".join(EXPERIMENTS)
        raise InputError(f"the lab has no experiment named {name!r}", fix=f"use one of {known}")
    return EXPERIMENTS[name]

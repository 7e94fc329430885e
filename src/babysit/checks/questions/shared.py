"""Tools of several questions: trials at many learning rates, and recipes without regularization."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from babysit.recipe.building import Stream
from babysit.recipe.recipe import Hyperparameters
from babysit.records import Value
from babysit.training.regularization import REGULARIZATION

UNREGULARIZED: Mapping[str, float] = REGULARIZATION
"""Every kind of regularization, switched off."""


def rungs(low: float, high: float, *, per_decade: int = 2) -> list[float]:
    """Lists learning rates from low to high, both included, evenly spaced in the logarithm.

    Example:
        >>> [f"{rate:.1e}" for rate in rungs(1e-4, 1e-2)]
        ['1.0e-04', '3.2e-04', '1.0e-03', '3.2e-03', '1.0e-02']
    """
    rates, rate, factor = [], low, 10 ** (1 / per_decade)
    while rate <= high * 1.001:
        rates.append(float(f"{rate:.6g}"))
        rate *= factor
    return rates


def ladder(
    hyperparameters: Mapping[str, Value], rates: Sequence[float], **changes: Value
) -> list[tuple[dict[str, Value], Stream]]:
    """Makes one trial for each learning rate, all from the same initial weights."""
    return [({**hyperparameters, **changes, "learning_rate": rate}, ("check",)) for rate in rates]


def without_dropout(model: Callable[[Hyperparameters], nn.Module]) -> Callable[[Hyperparameters], nn.Module]:
    """Returns the same models without dropout: it regularizes too, and its noise keeps the cost from zero."""

    def build(hyperparameters: Hyperparameters) -> nn.Module:
        made = model(hyperparameters)
        for layer in made.modules() if isinstance(made, nn.Module) else ():
            if isinstance(layer, _DropoutNd):
                layer.p = 0.0
        return made

    return build

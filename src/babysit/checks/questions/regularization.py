"""The question whether regularization raises the loss."""

from __future__ import annotations

import math
from collections.abc import Mapping

from babysit.checks.questions.initial_loss import first_costs
from babysit.recipe.building import Prepared
from babysit.records import Value
from babysit.verdicts import CheckResult, Status

STRONG_L2 = 1e3
"""The lecture's "crank up regularization"."""


def regularization_raises_loss(
    prepared: Prepared, hyperparameters: Mapping[str, Value], *, l2: float = STRONG_L2
) -> CheckResult:
    """Checks that the first cost with strong regularization is above the cost without.

    cost = data loss + 1/2 * l2 * sum(W^2).

    Args:
        prepared: the recipe with its data.
        hyperparameters: the values to check; l2 is replaced here.
        l2: the strong regularization. Default: 1e3.

    Returns:
        pass where the cost rises, fail otherwise.

    Example:
        >>> from babysit.recipe.building import prepare
        >>> from babysit.recipe.loading import load_recipe
        >>> from babysit.recipe.space import middle
        >>> recipe = load_recipe("digits")
        >>> regularization_raises_loss(prepare(recipe, seed=0), middle(recipe.full_space())).status
        <Status.PASS: 'pass'>

    Source: CS231n lecture 6, 'Babysitting the Learning Process: double check that the loss is reasonable':
    2.30 becomes 3.07 at l2 = 1e3.
    """
    without, value = first_costs(prepared, hyperparameters, [0.0, l2])
    rises = math.isfinite(value) and value > without
    advice = "the penalty reaches the cost"
    if not math.isfinite(value):
        advice = "the cost is NaN or infinite: look for NaN in the data, or in the initial weights"
    elif not rises:
        advice = "the penalty does not reach the cost: every weight may be zero, or none has two dimensions"
    return CheckResult(
        name="regularization_raises_loss",
        status=Status.PASS if rises else Status.FAIL,
        value=value,
        expected=f"above {without:.4f}, the cost without regularization",
        advice=advice,
        details={"without": without, "l2": l2},
    )

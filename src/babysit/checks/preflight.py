"""All checks, one after another, before anything trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from babysit.checks.gradients import gradients_match
from babysit.checks.initial_loss import initial_loss
from babysit.checks.learning_rate import learning_rate_bracket
from babysit.checks.overfit import overfits_tiny_subset
from babysit.checks.regularization import regularization_raises_loss
from babysit.recipe.building import Prepared
from babysit.records import CheckResult, Value

Check = Callable[[Prepared, Mapping[str, Value]], CheckResult]

CHECKS: tuple[Check, ...] = (
    initial_loss,
    regularization_raises_loss,
    overfits_tiny_subset,
    learning_rate_bracket,
    gradients_match,
)


def preflight(prepared: Prepared, hyperparameters: Mapping[str, Value]) -> Iterator[CheckResult]:
    """Yields the answer of each check as it comes.

    Args:
        prepared: the recipe with its data.
        hyperparameters: one choice of them, e.g. the middle of every range.

    Example:
        >>> from babysit.recipe.building import prepare
        >>> from babysit.recipe.loading import load_recipe
        >>> from babysit.recipe.space import middle
        >>> recipe = load_recipe("digits")
        >>> for result in preflight(prepare(recipe, seed=0), middle(recipe.full_space())):
        ...     result.name, str(result.status)
        ('initial_loss', 'pass')
        ('regularization_raises_loss', 'pass')
        ('overfits_tiny_subset', 'pass')
        ('learning_rate_bracket', 'pass')
        ('gradients_match', 'pass')
    """
    prepared = prepared.at(hyperparameters)
    for check in CHECKS:
        yield check(prepared, hyperparameters)

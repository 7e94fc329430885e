"""The importance of hyperparameters: how far the order of the scores follows each of them.

Three measures, each with its limits. A rank correlation finds a trend in any scale, but no optimum in the
middle. The correlation ratio finds differences between the options of a choice. Functional ANOVA, which
Optuna computes where it is installed, finds any shape, and hyperparameters that act together.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from babysit.recipe.space import Choice, Fixed, Numeric, Range, Space, plain
from babysit.records import Result, Value
from babysit.training.agreement import rank_correlation as spearman
from babysit.tuning.ranking import Round, ranked

FEWEST = 8
"""The least number of complete trials for a statement about importance."""

WITHOUT_OPTUNA = "functional ANOVA is left out: Optuna is not installed (pip install 'babysit[optuna]')"


@dataclass(frozen=True, slots=True)
class Importance:
    """The importance of one hyperparameter within one box.

    Attributes:
        name: the hyperparameter.
        strength: 0 to 1; the absolute rank correlation of a number, the correlation ratio of a choice.
        correlation: the rank correlation with its sign; None for a choice.
        chance: the strength that chance alone exceeds in one search of twenty.
        fanova: its share of the scores' variance; None where it was not computed.
    """

    name: str
    strength: float
    correlation: float | None
    chance: float
    fanova: float | None = None

    @property
    def matters(self) -> bool:
        """True where it is stronger than chance explains."""
        return self.strength > self.chance


def importances(stage: Round, *, fanova: bool = True) -> list[Importance]:
    """Computes the importance of every hyperparameter that a stage searched, the greatest first.

    Only complete trials count: an explosion has no score. A conditional hyperparameter is judged in the
    trials that have it, and not by functional ANOVA.

    Args:
        stage: its box and its results.
        fanova: use Optuna too, where it is installed.

    Returns:
        One entry a hyperparameter with 8 complete trials or more, and values and scores that differ.
    """
    order = ranked(stage.results)
    # Of many, every k-th in the order of the scores: the levels keep their proportion.
    sample = order[:: math.ceil(len(order) / _MOST) or 1]
    shares = _fanova(stage.box, sample) if fanova and has_optuna() else {}
    found = [_importance(name, plain(box), order, shares.get(name)) for name, box in stage.box.items()]
    return sorted(
        (each for each in found if each is not None),
        key=lambda each: (-(each.fanova or 0.0), -each.strength),
    )


def _importance(name: str, box: Range, order: Sequence[Result], share: float | None) -> Importance | None:
    having = [result for result in order if name in result.trial.hyperparameters]
    if isinstance(box, Fixed) or len(having) < FEWEST:
        return None
    values = [result.trial.hyperparameters[name] for result in having]
    scores = [result.score for result in having]
    if isinstance(box, Choice):
        ratio, chance = correlation_ratio(values, scores), _chance_of_groups(len(set(values)), len(values))
        return None if math.isnan(ratio) else Importance(name, ratio, None, chance, share)
    correlation = rank_correlation([float(value) for value in values], scores)
    if math.isnan(correlation):
        return None
    # A rank correlation of n pairs without a connection has the variance 1 / (n - 1).
    return Importance(name, abs(correlation), correlation, 1.96 / math.sqrt(len(values) - 1), share)


def rank_correlation(values: Sequence[float], scores: Sequence[float]) -> float:
    """Computes Spearman's rank correlation of values and scores; NaN for fewer than three.

    Example:
        >>> rank_correlation([1e-4, 1e-3, 1e-2], [0.2, 0.3, 0.9])
        1.0
    """
    if len(values) < 3 or np.ptp(values) == 0 or np.ptp(scores) == 0:
        return math.nan
    return round(spearman(values, scores), 12)


def correlation_ratio(groups: Sequence[Value], scores: Sequence[float]) -> float:
    """Computes the root of the share of the variance between groups; NaN where no score or group differs.

    Example:
        >>> correlation_ratio(["relu", "relu", "tanh", "tanh"], [0.5, 0.5, 0.3, 0.3])
        1.0
    """
    array, names = np.asarray(scores), np.asarray([repr(group) for group in groups])
    total = float(((array - array.mean()) ** 2).sum())
    if total == 0 or len(set(names)) < 2:
        return math.nan
    parts = [array[names == name] for name in sorted(set(names))]
    between = sum(len(part) * (part.mean() - array.mean()) ** 2 for part in parts)
    return min(1.0, math.sqrt(float(between) / total))


def _chance_of_groups(groups: int, count: int) -> float:
    """Returns the correlation ratio that random groups exceed in about one of twenty searches.

    Its square times n is nearly chi-squared with one degree of freedom less than there are groups, whose
    upper twentieth Wilson and Hilferty's cube gives.
    """
    degrees = max(groups - 1, 1)
    part = 2 / (9 * degrees)
    return min(1.0, math.sqrt(degrees * (1 - part + 1.645 * math.sqrt(part)) ** 3 / count))


_TREES = 32
_MOST = 200
"""The most trials that functional ANOVA reads: its cost grows faster than their number."""


def has_optuna() -> bool:
    """Returns True where Optuna is installed."""
    return importlib.util.find_spec("optuna") is not None


def _fanova(box: Space, order: Sequence[Result]) -> dict[str, float]:
    """Computes each unconditional hyperparameter's share of the variance by Optuna's seeded random forest."""
    choices = [result.trial.hyperparameters for result in order]
    names = [
        name
        for name, found in box.items()
        if not isinstance(plain(found), Fixed)
        and all(name in choice for choice in choices)
        and len({repr(choice[name]) for choice in choices}) > 1
    ]
    if len(order) < FEWEST or not names or len({result.score for result in order}) < 2:
        return {}
    import optuna  # here, because it is optional and takes a second

    distributions = {
        name: _distribution(optuna, plain(box[name]), [c[name] for c in choices]) for name in names
    }
    trials = [
        optuna.trial.create_trial(
            params={name: result.trial.hyperparameters[name] for name in names},
            distributions=distributions,
            value=result.score,
        )
        for result in order
    ]
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
        study.add_trials(trials)
        evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_TREES, seed=0)
        return {name: float(share) for name, share in evaluator.evaluate(study, params=names).items()}
    except RuntimeError:  # the forest found no variance
        return {}
    finally:
        optuna.logging.set_verbosity(level)


def _distribution(optuna: Any, found: Range, values: Sequence[Any]) -> Any:
    """Returns the part of a range in which trials completed, as Optuna's distribution.

    Shares are means over the whole range; where every trial explodes there is no score for a mean.
    """
    if isinstance(found, Choice):
        return optuna.distributions.CategoricalDistribution(found.options)
    assert isinstance(found, Numeric)
    low, high = min(values), max(values)
    if found.whole:
        return optuna.distributions.IntDistribution(int(low), int(high), log=found.log)
    return optuna.distributions.FloatDistribution(float(low), float(high), log=found.log)

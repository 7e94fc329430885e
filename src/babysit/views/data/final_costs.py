"""The costs of the final training as plain data, few enough for an outcome, which is read often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from babysit.store.queries import Curve

MOST = 10_000
"""A training of more steps stores only some of its costs."""
BUCKETS = 2000
"""The pieces of a long training, each with its first, lowest, highest and last cost."""


def costs_data(costs: Sequence[float]) -> dict[str, list[float]]:
    """Returns the costs for an outcome: all, or of a long training some with their steps.

    Args:
        costs: of every step.

    Example:
        >>> costs_data([2.0, 1.0])
        {'costs': [2.0, 1.0]}
        >>> len(costs_data([1.0] * 999_999)["costs"]) <= 4 * BUCKETS
        True
    """
    if len(costs) <= MOST:
        return {"costs": list(costs)}
    values = np.asarray(costs, dtype=np.float64)
    ends = np.linspace(0, len(values), BUCKETS + 1).astype(int)
    parts = [(start, end - 1, values[start:end]) for start, end in pairwise(ends)]
    kept = {
        int(place)
        for first, last, part in parts
        for place in (first, first + part.argmin(), first + part.argmax(), last)
    }
    places = sorted(kept)
    return {"costs": values[places].tolist(), "cost_steps": [place + 1 for place in places]}


def costs_of(final: Mapping[str, Any]) -> Curve:
    """Reads the steps and the costs that an outcome stores.

    Args:
        final: the final training in the outcome.

    Example:
        >>> steps, costs = costs_of({"costs": [2.0, 1.0]})
        >>> steps.tolist(), costs.tolist()
        ([1, 2], [2.0, 1.0])
    """
    costs = np.array([float(cost) for cost in final.get("costs") or ()], dtype=np.float32)
    steps = final.get("cost_steps") or range(1, len(costs) + 1)
    return np.array(steps, dtype=np.int32), costs

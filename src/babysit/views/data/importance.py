"""The importance of hyperparameters as bars, for terminal and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from babysit.views.data.formatting import MISSING, percent_text

RATIO = "correlation ratio"
"""The kind of a choice's bar."""


class Bar(NamedTuple):
    """One hyperparameter's importance.

    Attributes:
        name: the hyperparameter.
        share: 0 to 1, the bar's length.
        figure: the same as a number, signed where it has a direction.
        kind: a rank correlation, or of a choice a correlation ratio.
        matters: False where chance explains it.
        fanova: its share of the scores' variance in words; a dash where it was not computed.
    """

    name: str
    share: float
    figure: str
    kind: str
    matters: bool
    fanova: str


def bars(stage: Mapping[str, Any]) -> list[Bar]:
    """Returns the bars of a stage, the greatest first.

    Example:
        >>> knob = {"name": "l2", "strength": 0.4, "correlation": -0.4, "matters": True, "fanova": None}
        >>> bars({"stage": "coarse", "knobs": [knob]})
        [Bar(name='l2', share=0.4, figure='-0.40', kind='rank correlation', matters=True, fanova='–')]
    """
    found = []
    for knob in stage.get("knobs") or ():
        if not isinstance(knob, Mapping):
            continue
        correlation, fanova = knob.get("correlation"), knob.get("fanova")
        share = min(1.0, max(0.0, float(knob.get("strength") or 0.0)))
        bar = Bar(
            name=str(knob.get("name", "")),
            share=share,
            figure=f"{share:.2f}" if correlation is None else f"{correlation:+.2f}",
            kind=RATIO if correlation is None else "rank correlation",
            matters=bool(knob.get("matters")),
            fanova=MISSING if fanova is None else percent_text(fanova),
        )
        found.append(bar)
    return found

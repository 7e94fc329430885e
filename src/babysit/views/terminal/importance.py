"""The importance of the hyperparameters as bars in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from babysit.views.data.formatting import MISSING
from babysit.views.data.importance import RATIO, bars

_CELLS = 16


def importance_view(stages: Sequence[Mapping[str, Any]], note: str = "") -> RenderableType:
    """Renders the importance of every hyperparameter, stage by stage; dim if chance explains it.

    Args:
        stages: stage names and importances, as in a study's outcome.
        note: the reason why a measure is missing. Default: none is missing.
    """
    if not stages:
        return Text("Too few trials completed for the importance of the hyperparameters.", style="dim")
    found = [(str(stage.get("stage", "")), bars(stage)) for stage in stages]
    has_shares = any(bar.fanova != MISSING for _, group in found for bar in group)
    table = Table(title="importance of the hyperparameters", title_justify="left", box=None, pad_edge=False)
    for heading in (
        "stage",
        "hyperparameter",
        "",
        "correlation",
        *(["variance share"] if has_shares else []),
    ):
        right = heading in ("correlation", "variance share")
        table.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=not heading)
    for stage, group in found:
        for place, bar in enumerate(group):
            filled = round(bar.share * _CELLS)
            drawn = "█" * filled + "░" * (_CELLS - filled)
            cells = [escape(stage) if place == 0 else "", escape(bar.name), drawn, bar.figure]
            table.add_row(*cells, *([bar.fanova] if has_shares else []), style="" if bar.matters else "dim")
    all_bars = [bar for _, group in found for bar in group]
    caption = ["dim: no more than chance explains"] if any(not bar.matters for bar in all_bars) else []
    caption += ["of a choice: the correlation ratio"] if any(bar.kind == RATIO for bar in all_bars) else []
    table.caption = "; ".join(caption) or None
    return Group(table, *([Text(note, style="dim")] if note else []))

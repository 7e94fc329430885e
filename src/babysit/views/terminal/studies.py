"""The studies of a store as a table in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from babysit.records import State, Study
from babysit.views.data.formatting import MISSING, moment_text, number_text, percent_text

STATE_STYLES = {State.EXPLODED: "red", State.FAILED: "red", State.RUNNING: "cyan", State.COMPLETE: "green"}
INTERRUPTED = "interrupted"
"""The state of a study whose process was killed."""


def state_text(state: State) -> str:
    """Returns a state in its colour."""
    style = STATE_STYLES.get(state)
    return f"[{style}]{state.value}[/]" if style else state.value


def studies_table(
    studies: Sequence[Study], trials: Mapping[int, int] | None = None, interrupted: Sequence[int] = ()
) -> Table:
    """Renders the studies of a store.

    Args:
        studies: newest first.
        trials: a study's number -> its number of trials. Default: None, not shown.
        interrupted: the numbers of the interrupted studies.
    """
    table = Table(box=None, pad_edge=False)
    headings = ["study", "name", "recipe", "kind", "state", "best val", "started"]
    for heading in headings if trials is None else [*headings[:5], "trials", *headings[5:]]:
        right = heading in ("study", "trials", "best val")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for study in studies:
        cells = [
            str(study.id),
            escape(study.name),
            escape(study.recipe),
            escape(study.kind),
            f"[yellow]{INTERRUPTED}[/]" if study.id in interrupted else state_text(study.state),
        ]
        counted = [] if trials is None else [str(trials.get(study.id, 0))]
        best = study.outcome.get("best")
        values = best if isinstance(best, Mapping) else {}
        accuracy, loss = values.get("val_accuracy"), values.get("val_loss")
        if isinstance(accuracy, int | float) and math.isfinite(accuracy):
            score = percent_text(accuracy)
        else:
            score = f"loss {number_text(loss)}" if isinstance(loss, int | float) else MISSING
        table.add_row(*cells, *counted, score, moment_text(study.created))
    return table

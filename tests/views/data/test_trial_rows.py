"""One row a trial: every column in every row, nothing that is no number."""

from __future__ import annotations

from babysit.views.data.trial_rows import MEASURED, trial_rows
from views.studies import complete, exploded, regression, view_of


def test_every_row_has_every_column_and_a_number_that_is_none_is_none():
    view = view_of([complete(0, 0.5), exploded(1), regression(2, 4.0)])
    rows = trial_rows(view.results, view.stages)
    assert [tuple(row)[: len(MEASURED)] for row in rows] == [MEASURED] * 3
    assert [set(row) for row in rows] == [set(rows[0])] * 3
    assert [row["val_accuracy"] for row in rows] == [0.5, None, None]
    assert [row["val_loss"] for row in rows][1:] == [None, 4.0 + 1 / 3]
    assert [row["cost"] is None for row in rows] == [False, True, False]
    assert [row["stage"] for row in rows] == ["coarse"] * 3
    assert [row["best_epoch"] for row in rows] == [3, None, 3]

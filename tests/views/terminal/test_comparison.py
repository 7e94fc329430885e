"""Trials beside each other: what differs, what does not, and names that are markup."""

from __future__ import annotations

from dataclasses import replace

from babysit.verdicts import Cause, Verdict
from babysit.views.data.comparison import Compared, comparison_data, differing
from babysit.views.terminal.comparison import comparison_view
from views.studies import EVIL, FINDING, complete, exploded, printed, regression, study


def shown(compared):
    return printed(comparison_view(compared), width=100)


def test_only_what_differs_and_causes_by_name():
    found = Verdict((Cause(FINDING, (replace(FINDING, rule="plateau"),)),))
    one = Compared("7/0/0", study(), complete(0, 0.5, rate=1e-3), verdict=found)
    two = Compared("7/0/1", study(), exploded(1))
    assert differing([one, two]) == ["learning_rate", "l2"]
    text = shown([one, two])
    assert "hidden" not in text
    assert FINDING.rule in text
    assert "plateau" not in text  # a symptom
    assert "not healthy" in text
    assert "undecided" in text
    assert "exploded at step 60" in text
    data = comparison_data([one, two])["compared"]
    assert [each["score"] for each in data] == [0.5, None]
    assert [each["state"] for each in data] == ["complete", "exploded"]
    assert data[0]["values"] == {"learning_rate": 1e-3, "l2": 0.1}
    assert [(each["verdict"], each["causes"]) for each in data] == [
        ("unhealthy", [FINDING.rule]),
        ("undecided", []),
    ]


def test_a_loss_is_drawn_where_there_is_no_accuracy_and_equals_are_told():
    same = [Compared(name, study(), regression(0, 2.0)) for name in ("a", "b")]
    text = shown(same)
    assert "validation loss by epoch" in text
    assert "equal" in text


def test_names_are_not_read_as_markup():
    odd = [Compared(EVIL, study(), complete(number, 0.5, rate=10.0**-number)) for number in (2, 3)]
    assert "[/red]" in shown(odd).replace("\n", "")


def test_a_study_without_a_score_has_only_what_was_asked():
    empty = Compared("3", study(), None, {"seed": 1}, trials=4)
    other = Compared("4", study(), complete(0, 0.5), {"seed": 2}, trials=5)
    assert "seed" in differing([empty, other])
    assert comparison_data([empty, other])["compared"][0]["score"] is None
    assert "validation accuracy by epoch" in shown([empty, other])

"""The lecture's own printed logs, with the lecturer's verdicts as expected answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from babysit.readings.logs import lecture
from babysit.session.diagnose import diagnose_log
from babysit.verdicts import Severity

LOGS = Path(__file__).parent / "lecture"


def diagnosis(name, **options):
    return diagnose_log(str(LOGS / f"{name}.txt"), **options)


def test_row_76_twenty_examples_are_memorized_and_nothing_is_wrong():
    found = diagnosis("row76_overfit")
    assert found.findings == ()
    assert found.healthy
    assert found.report.unanswered == ()
    assert found.log.run.last.cost == 0.002597


def test_row_82_the_loss_barely_changes_so_the_learning_rate_is_too_low():
    finding, symptom = diagnosis("row82_slow").findings
    assert (finding.rule, finding.severity) == ("learning_rate_too_low", Severity.WARNING)
    assert (symptom.rule, symptom.severity) == ("plateau", Severity.INFO)
    (cause,) = diagnosis("row82_slow").report.causes
    assert (cause.finding, cause.symptoms) == (finding, (symptom,))
    assert "barely changes" in finding.message
    assert "still rose to 0.192" in finding.message
    assert "1e-05" in finding.advice


def test_row_85_not_a_number_means_a_learning_rate_too_high():
    (finding,) = diagnosis("row85_nan").findings
    assert (finding.rule, finding.severity, finding.since) == ("loss_not_finite", Severity.ERROR, 1)
    assert "the cost became NaN" in finding.message
    assert "learning rate is too high" in finding.message
    assert "1e+05" in finding.advice
    assert "class 0" in finding.advice


def test_row_88_the_cost_explodes_at_the_fifth_epoch():
    (finding,) = diagnosis("row88_exploding").findings
    assert (finding.rule, finding.since) == ("loss_not_finite", 5)
    assert "the cost became infinite" in finding.message
    assert "learning rate is too high" in finding.message
    assert "0.0003" in finding.advice


def test_row_97_the_coarse_search_points_at_the_lecturers_next_ranges():
    """He went on with lr 10^U(-4, -3) and reg 10^U(-4, 0), and large regularization ruined two trials."""
    found = diagnosis("row97_coarse")
    assert found.healthy
    assert [round(result.score, 3) for result in found.ranked[:3]] == [0.482, 0.441, 0.412]
    assert (found.box["learning_rate"].low, found.box["learning_rate"].high) == (1e-6, 1e-3)
    assert (found.box["l2"].low, found.box["l2"].high) == (1e-5, 1e5)
    rate, l2 = found.next["learning_rate"], found.next["l2"]
    assert 5e-5 < rate.low < 1.5e-4 < 4e-4 < rate.high <= 1e-3
    assert 1e-5 <= l2.low < 1e-3 < 0.5 < l2.high < 10
    assert sorted(result.trial.number for result in found.ruined) == [5, 10]
    assert found.correlations["learning_rate"] == pytest.approx(0.815, abs=0.01)


def test_row_101_the_best_fine_result_is_worrying():
    """0.531 lies at 0.976 of the rate's range and ties with four others; regularization is not to blame."""
    found = diagnosis("row101_fine")
    assert not found.healthy
    (edge,) = found.edges
    assert (edge.name, edge.side) == ("learning_rate", "upper")
    assert edge.position == pytest.approx(0.976, abs=5e-4)
    assert found.positions["l2"] == pytest.approx(0.289, abs=5e-4)
    assert len(found.tied) == 5
    assert found.next["learning_rate"].high > 1e-3
    assert found.correlations["learning_rate"] == pytest.approx(0.81, abs=0.01)
    assert found.correlations["l2"] == pytest.approx(-0.01, abs=0.01)


def test_what_a_scanner_made_of_the_lines_is_read_too():
    text = (
        "Finished epoch 1 / 10: cost 2.302576, train: 0.080000, val 0.103000, lr 1.000000e-06 "
        "Finished epoch 2  10: cost 2.302582, train: 0.121000, val 0.124000, lr le-06\n"
        "finished epoch 3/10; cost: 2.302558 train 0.119000 val: 0.138000"
    )
    rows = lecture.read(text)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["cost"] for row in rows] == [2.302576, 2.302582, 2.302558]
    assert rows[1]["learning_rate"] == 1e-6
    assert "learning_rate" not in rows[2]


@pytest.mark.parametrize("name", ["row76_overfit", "row82_slow", "row88_exploding"])
def test_the_readings_are_those_printed(name):
    lines = (LOGS / f"{name}.txt").read_text().splitlines()
    printed = [line for line in lines if line.startswith("Finished epoch") and "inf" not in line]
    readings = diagnosis(name).log.run.readings
    assert len(readings) == len(printed)
    for reading, line in zip(readings, printed, strict=True):
        for value in (reading.cost, reading.train_accuracy, reading.val_accuracy):
            assert f"{value:f}" in line
        assert f"epoch {reading.epoch} /" in line

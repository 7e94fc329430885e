"""Verdicts on made curves: one cause for each sick one, and no warning on healthy ones."""

from __future__ import annotations

import pytest

from babysit.readings.detectors import DETECTORS
from babysit.session.diagnose import diagnose_log
from babysit.verdicts import Health, Severity
from readings.logs.curves import HEALTHY, SICK


@pytest.fixture
def diagnosis(tmp_path):
    """Writes rows as a table and diagnoses it."""

    def diagnose(rows, **options):
        names = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[repr(row[name]) if name in row else "" for name in names] for row in rows]
        path = tmp_path / "log.csv"
        path.write_text("\n".join(",".join(line) for line in [names, *cells]) + "\n")
        return diagnose_log(str(path), **options)

    return diagnose


SEVERITY = {each.problem.name: each.severity or each.problem.severity for each in DETECTORS}
TOO_SHORT = {"one epoch", "three epochs"}
"""Nothing is wrong with them, and nothing can be told either: they have neither learned nor lasted."""
SYMPTOMS = {
    "learning_rate_too_low": {"learned_nothing", "plateau"},
    "learning_rate_zero": {"plateau"},
    "learned_nothing": {"plateau"},
    "metric_disagrees_with_loss": {"still_improving"},
    "underfitting": {"plateau"},
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_curve_raises_no_warning(diagnosis, name, seed):
    found = diagnosis(HEALTHY[name](seed))
    assert found.report, found.findings
    assert found.healthy is (name not in TOO_SHORT)
    assert found.report.health is (Health.UNDECIDED if name in TOO_SHORT else Health.HEALTHY)
    if name in TOO_SHORT:
        reasons = {question.rule: question.reason for question in found.report.unanswered}
        assert reasons["learning_rate_too_low"] == "fewer than 5 readings or 50 steps"
        assert reasons["oscillation"] == "fewer than 10 readings"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SICK)
def test_a_sick_curve_has_one_cause(diagnosis, name, seed):
    curve, rule = SICK[name]
    (cause,) = diagnosis(curve(seed)).report.causes
    assert cause.rule == rule
    assert cause.finding.evidence
    assert cause.finding.advice
    assert cause.finding.severity is SEVERITY[rule]
    assert {each.rule for each in cause.symptoms} <= SYMPTOMS.get(rule, set())


def test_symptoms_are_kept_under_their_cause(diagnosis):
    found = diagnosis(SICK["constant at chance"][0](0))
    (cause,) = found.report.causes
    assert [each.rule for each in cause.symptoms] == ["learned_nothing", "plateau"]
    assert [each.rule for each in found.findings] == ["learning_rate_too_low", "learned_nothing", "plateau"]


def test_there_are_healthy_curves_enough():
    assert len(HEALTHY) >= 15


def test_every_rule_that_a_log_allows_has_a_sick_curve():
    """A log holds no regularization strength; the other two speak in a low voice."""
    unseen = SEVERITY.keys() - {rule for _, rule in SICK.values()}
    assert unseen == {"regularization_too_strong", "plateau", "still_improving"}


def test_a_run_that_ends_on_its_way_down_is_told_so_in_a_low_voice(diagnosis):
    (finding,) = diagnosis(HEALTHY["still on its way"](0)).findings
    assert (finding.rule, finding.severity) == ("still_improving", Severity.INFO)


def test_a_flat_regression_is_judged_by_the_chance_loss_that_is_told(diagnosis):
    rows = [{"epoch": e, "loss": 1.0 + 0.01 * (e % 3) + 0.3 / e**3} for e in range(1, 21)]
    assert diagnosis(rows).healthy
    (cause,) = diagnosis(rows, chance_loss=1.0).report.causes
    assert cause.rule == "learned_nothing"


def test_the_number_of_classes_may_be_told(diagnosis):
    rows = [{"epoch": e, "loss": 1.95 + 0.005 * (e % 3) + 0.3 / e**3} for e in range(1, 21)]
    assert diagnosis(rows).healthy
    assert [cause.rule for cause in diagnosis(rows, classes=7).report.causes] == ["learned_nothing"]

"""Verdicts on made curves: one cause for each sick one, and no warning on healthy ones."""

from __future__ import annotations

import pytest

from babysit.records import Severity
from babysit.session.diagnosing import diagnose_log
from babysit.watching.rules import RULES
from watching.logs.curves import HEALTHY, SICK


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


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_curve_raises_no_warning(diagnosis, name, seed):
    found = diagnosis(HEALTHY[name](seed))
    assert found.healthy, found.findings


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SICK)
def test_a_sick_curve_has_one_cause(diagnosis, name, seed):
    curve, rule = SICK[name]
    (finding,) = diagnosis(curve(seed)).findings
    assert finding.rule == rule
    assert finding.evidence
    assert finding.advice
    assert finding.severity is next(known.severity for known in RULES if known.name == rule)


def test_there_are_healthy_curves_enough():
    assert len(HEALTHY) >= 15


def test_every_rule_that_a_log_allows_has_a_sick_curve():
    """A log holds no regularization strength; the other two speak in a low voice."""
    unseen = {rule.name for rule in RULES} - {rule for _, rule in SICK.values()}
    assert unseen == {"regularization_too_strong", "plateau", "still_improving"}


def test_a_run_that_ends_on_its_way_down_is_told_so_in_a_low_voice(diagnosis):
    (finding,) = diagnosis(HEALTHY["still on its way"](0)).findings
    assert (finding.rule, finding.severity) == ("still_improving", Severity.INFO)


def test_a_flat_regression_is_judged_by_the_chance_loss_that_is_told(diagnosis):
    rows = [{"epoch": e, "loss": 1.0 + 0.01 * (e % 3) + 0.3 / e**3} for e in range(1, 21)]
    assert diagnosis(rows).healthy
    (finding,) = diagnosis(rows, chance_loss=1.0).findings
    assert finding.rule == "learned_nothing"


def test_the_number_of_classes_may_be_told(diagnosis):
    rows = [{"epoch": e, "loss": 1.95 + 0.005 * (e % 3) + 0.3 / e**3} for e in range(1, 21)]
    assert diagnosis(rows).healthy
    assert [finding.rule for finding in diagnosis(rows, classes=7).findings] == ["learned_nothing"]

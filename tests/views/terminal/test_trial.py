"""One trial for a terminal: thinned readings, update ratios, names that are markup."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from babysit.records import Stage
from babysit.verdicts import Answer, Cause, Question, Severity, Verdict
from babysit.views.data.recorded_run import TrialView
from babysit.views.terminal.trial import trial_data, trial_view, update_ratios
from views.studies import EVIL, FINDING, LOG_RATE, complete, costs_of, exploded, printed, regression, study

STAGE = Stage(0, "coarse", {"learning_rate": LOG_RATE, "hidden": {"kind": "fixed", "value": 50}}, 3, 3)
RATIOS = (np.array([1, 11, 21], np.int32), np.array([1e-2, np.nan, 2e-3], np.float32))

PLATEAU = replace(FINDING, rule="plateau", severity=Severity.INFO)
VERDICT = Verdict(
    (Cause(FINDING, (PLATEAU,), "a tenth of the rate would tell"),),
    (Question("plateau"), Question("dead_units", Answer.NOT_ANSWERED, "only 3 epochs")),
    ("a fact",),
    when="after 3 epochs",
)


def shown(view):
    return printed(trial_view(view), width=120)


def test_everything_that_is_known_is_told():
    result = complete(3, 0.5)
    series = {"layers/1.weight/update_ratio": RATIOS, "layers/1/mean": RATIOS, "learning_rate": RATIOS}
    text = shown(TrialView(study(), STAGE, result, costs_of(result), series, VERDICT))
    assert "trial 7/0/3 of digits, stage coarse: complete, best validation 50.0 % at epoch 3" in text
    assert "1e-6 to 1e-3, log" in text
    assert "fixed" in text
    assert "1.weight" in text
    assert FINDING.message in text
    assert FINDING.advice in text
    assert "7/0/3: not healthy after 3 epochs: 1 warning" in text
    assert "1 remark" not in text
    assert "explains: plateau" in text
    assert "a tenth of the rate would tell" in text
    assert "not answered (only 3 epochs): dead units" in text
    assert "  a fact" in text


def test_the_data_of_a_trial_hold_its_whole_verdict():
    result = complete(3, 0.5)
    data = trial_data(TrialView(study(), STAGE, result, costs_of(result), verdict=VERDICT))
    assert (data["verdict"], data["healthy"], data["facts"]) == ("unhealthy", False, ["a fact"])
    assert data["causes"] == [cause.as_data() for cause in VERDICT.causes]
    assert data["questions"] == [question.as_data() for question in VERDICT.questions]


def test_the_median_of_an_update_ratio_passes_over_what_is_no_number():
    (one,) = update_ratios({"layers/a/b/update_ratio": RATIOS})
    assert one.layer == "a/b"
    assert one.median == np.float32([1e-2, 2e-3]).mean(dtype=np.float64)


def test_a_long_run_is_thinned_to_its_course_its_best_and_its_last_epoch():
    text = shown(TrialView(study(), STAGE, complete(0, 0.5, epochs=101), costs_of(complete(0, 0.5))))
    lines = [line for line in text.splitlines() if line.split()[:1] and line.split()[0] in ("1", "7", "★")]
    assert [line.split()[0] for line in lines] == ["1", "7", "★"]
    assert text.count(" % ") < 2 * 25


def test_losses_explosions_and_markup():
    assert "best validation" in shown(
        TrialView(study(), STAGE, regression(0, 2.0), costs_of(regression(0, 2.0)))
    )
    burst = TrialView(study(name=EVIL), None, exploded(1), costs_of(exploded(1)))
    text = shown(burst)
    assert EVIL in text
    assert "exploded at step 60" in text
    assert trial_data(burst)["explosion"]["step"] == 60
    assert trial_data(burst)["score"] is None

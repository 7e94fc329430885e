"""Detectors on readings against the lecture's logs and real runs: right on sick, silent on healthy ones."""

from __future__ import annotations

import math

import pytest

from babysit.readings.context import Context
from babysit.readings.detectors import DETECTORS
from babysit.readings.report import report_on
from babysit.recipe.building import prepare
from babysit.recipe.loading import load_recipe
from babysit.recipe.space import middle
from babysit.records import Explosion, Reading, Run, State
from babysit.verdicts import Answer, Health, Severity

LN10 = math.log(10)
STEPS = 490  # 49,000 images in batches of 100

# Printed by the lecture at learning rate 1e-6.
SLOW_COST = "2.302576 2.302582 2.302558 2.302519 2.302517 2.302518 2.302466 2.302452 2.302459 2.302420"
SLOW_TRAIN = ".080 .121 .119 .127 .158 .179 .180 .175 .206 .190"
SLOW_VAL = ".103 .124 .138 .151 .171 .172 .176 .185 .192 .192"
# Printed for 20 examples, epochs 1 to 19 and 195 to 200, one full batch an epoch.
TINY_COST = """2.302603 2.302258 2.301849 2.301196 2.300044 2.297864 2.293595 2.285096 2.268094 2.234787
    2.173187 2.076862 1.974090 1.895885 1.820876 1.737430 1.642356 1.535239 1.421527
    .002694 .002674 .002655 .002635 .002617 .002597"""
TINY_ACCURACY = ".40 .45 .60 .65 .65 .55 .60 .55 .55 .50 .50 .50 .40 .40 .45 .45 .50 .60 .60 1 1 1 1 1 1"
# Printed at learning rate 3e-3; the cost of epochs 5 and 6 is inf.
WILD_COST = "2.186654 2.176230 1.942257 1.827868"
WILD_TRAIN = ".308 .330 .376 .329"
WILD_VAL = ".306 .350 .352 .310"


def numbers(text):
    return [float(word) for word in text.split()]


def log(cost, train, val, rate, *, epochs=None, steps=STEPS, val_loss=math.nan):
    rows = list(zip(numbers(cost), numbers(train), numbers(val), strict=True))
    epochs = epochs or range(1, len(rows) + 1)
    return tuple(
        Reading(epoch, epoch * steps, *row, rate, val_loss) for epoch, row in zip(epochs, rows, strict=True)
    )


def context(**hyperparameters):
    return Context(LN10, 0.1, {"learning_rate": 1e-3, "l2": 0.0, **hyperparameters})


def diagnose(run, given):
    """The causes, without their symptoms."""
    return [cause.finding for cause in report_on(run, given).causes]


def rules(run, given):
    """Every cause with its symptoms, by name."""
    return {
        cause.rule: sorted(each.rule for each in cause.symptoms) for cause in report_on(run, given).causes
    }


def unanswered(run, given):
    """The questions that matter and stayed open, with the reason."""
    return {question.rule: question.reason for question in report_on(run, given).unanswered}


def slow(epochs=10):
    readings = log(SLOW_COST, SLOW_TRAIN, SLOW_VAL, 1e-6)[:epochs]
    return Run(State.COMPLETE, readings, first_cost=2.302576)


def tiny(rows=25):
    epochs = [*range(1, 20), *range(195, 201)]
    readings = log(TINY_COST, TINY_ACCURACY, TINY_ACCURACY, 1e-3, epochs=epochs, steps=1)[:rows]
    return Run(State.COMPLETE, readings, first_cost=2.302603)


def wild():
    readings = log(WILD_COST, WILD_TRAIN, WILD_VAL, 3e-3)
    return Run(State.EXPLODED, readings, 2.302585, Explosion(2071, 5, math.inf, 2.302585))


# The lecture's logs


def test_the_lectures_slow_run_has_too_low_a_learning_rate():
    (finding,) = diagnose(slow(), context(learning_rate=1e-6))
    assert finding.rule == "learning_rate_too_low"
    assert finding.severity is Severity.WARNING
    assert "1e-05" in finding.advice
    (fall, _) = finding.evidence
    assert 0 < fall.value < 1e-4


def test_why_the_accuracy_rose_although_the_loss_did_not_is_explained():
    (finding,) = diagnose(slow(), context(learning_rate=1e-6))
    assert "0.192" in finding.message
    assert "near probability 0.1" in finding.message


def test_an_accuracy_that_stayed_at_chance_needs_no_explanation():
    readings = tuple(Reading(e, e * STEPS, 2.3025, 0.1, 0.1, 1e-9) for e in range(1, 11))
    (finding,) = diagnose(Run(State.COMPLETE, readings, 2.3025), context(learning_rate=1e-9))
    assert "still rose" not in finding.message


def test_four_epochs_are_too_few_to_call_a_learning_rate_too_low():
    """Nor may the run be called healthy: it has not learned, and what is wrong cannot be told yet."""
    early, given = slow(4), context(learning_rate=1e-6)
    assert rules(early, given) == {}
    assert report_on(early, given).health is Health.UNDECIDED
    few = dict.fromkeys(("learning_rate_too_low", "learned_nothing"), "fewer than 5 readings or 50 steps")
    assert unanswered(early, given) == {
        **few,
        "metric_disagrees_with_loss": "fewer than 5 readings",
        **dict.fromkeys(
            ("learning_rate_too_high", "learning_rate_zero", "slow_start"), "fewer than 6 readings"
        ),
        "oscillation": "fewer than 10 readings",
    }
    assert rules(slow(5), given) == {"learning_rate_too_low": []}


def test_a_loss_that_stands_still_because_of_the_rate_is_no_plateau_of_its_own():
    given = context(learning_rate=1e-6)
    assert rules(slow(9), given) == {"learning_rate_too_low": []}
    assert rules(slow(10), given) == {"learning_rate_too_low": ["plateau"]}
    assert "lower the learning rate" not in str(report_on(slow(10), given))


def test_the_lectures_twenty_examples_raise_no_alarm():
    report = report_on(tiny(), context())
    assert (report.findings, report.health) == ((), Health.HEALTHY)


@pytest.mark.parametrize("rows", range(1, 26))
def test_the_lectures_twenty_examples_raise_no_alarm_on_the_way_either(rows):
    """Eight epochs without visible progress, then accuracies that fall with the cost: both are healthy.

    Of one or two readings nothing is said.
    """
    report = report_on(tiny(rows), context())
    expected = Health.UNDECIDED if rows < 3 else Health.HEALTHY
    assert (report.findings, report.health) == ((), expected)


def test_the_lectures_fast_run_exploded():
    assert rules(wild(), context(learning_rate=3e-3)) == {"loss_not_finite": []}
    (finding,) = diagnose(wild(), context(learning_rate=3e-3))
    assert "the cost became infinite at step 2071 (epoch 5)" in finding.message
    assert finding.severity is Severity.ERROR
    assert finding.since == 5
    assert "learning rate is too high" in finding.message
    assert "0.0003" in finding.advice


def test_the_lectures_fastest_run_reports_no_accuracy():
    run = Run(State.EXPLODED, (), 2.302585, Explosion(2, 1, math.nan, 2.302585))
    (finding,) = diagnose(run, context(learning_rate=1e6))
    assert finding.rule == "loss_not_finite"
    assert "the cost became NaN at step 2" in finding.message
    assert "1e+05" in finding.advice
    assert "class 0" in finding.advice
    assert run.best is None


def test_a_cost_that_was_never_a_number_is_no_fault_of_the_learning_rate():
    run = Run(State.EXPLODED, (), math.nan, Explosion(1, 1, math.nan, math.nan))
    (finding,) = diagnose(run, context())
    assert finding.rule == "loss_not_finite"
    assert "before any update" in finding.message
    assert "learning rate" not in finding.message + finding.advice
    assert "inputs" in finding.advice


@pytest.mark.parametrize(("rate", "l2", "blamed"), [(1e-3, 1e4, True), (1e-3, 1e3, False), (1.0, 2.1, True)])
def test_the_penalty_is_blamed_when_each_step_overshoots_zero(rate, l2, blamed):
    run = Run(State.EXPLODED, (), 2.3, Explosion(3, 1, 50.0, 2.3))
    (finding,) = diagnose(run, context(learning_rate=rate, l2=l2))
    assert finding.rule == "loss_exploded"
    assert "the cost became 21.7 times its first value at step 3 (epoch 1)" in finding.message
    assert ("learning_rate * l2" in finding.message) is blamed
    assert ("lower l2" in finding.advice) is blamed


def test_an_exploded_run_is_called_nothing_else():
    readings = tuple(Reading(e, e * STEPS, 2.3025, 0.9, 0.1, 1e-3, 2.31) for e in range(1, 11))
    run = Run(State.EXPLODED, readings, 2.3025, Explosion(5000, 11, 9.0, 2.3025))
    assert rules(run, context(l2=1e3)) == {"loss_exploded": []}


@pytest.mark.parametrize(
    ("cost", "word"), [(math.nan, "NaN"), (math.inf, "infinite"), (-math.inf, "infinite")]
)
def test_a_cost_that_is_no_longer_finite_is_not_called_an_explosion(cost, word):
    run = Run(State.EXPLODED, (), 2.3, Explosion(7, 2, cost, 2.3))
    assert rules(run, context()) == {"loss_not_finite": []}
    assert f"the cost became {word} at step 7 (epoch 2)" in diagnose(run, context())[0].message


@pytest.mark.parametrize(("rate", "l2"), [(1.7533e-5, 1.200424e3), (5.401602e-6, 1.599828e4)])
def test_the_lectures_ruined_coarse_trials_have_too_much_regularization(rate, l2):
    """Two of its coarse trials ended at 0.079: l2 was 1.2e3 and 1.6e4."""
    readings = tuple(
        Reading(e, e * STEPS, LN10, 0.1, 0.079, rate * 0.9 ** (e - 1), LN10) for e in range(1, 6)
    )
    run, given = Run(State.COMPLETE, readings, first_cost=3.2), context(learning_rate=rate, l2=l2)
    assert rules(run, given) == {"regularization_too_strong": ["learned_nothing"]}
    (finding,) = diagnose(run, given)
    assert "constant" in finding.message
    assert "lower l2" in finding.advice


# Overfitting and underfitting


def gap(amount, *, epochs=5, val=0.8):
    readings = tuple(
        Reading(e, e * 100, 1.0 / e, val + (amount if e > 2 else 0), val, 1e-3, 0.6)
        for e in range(1, epochs + 1)
    )
    return Run(State.COMPLETE, readings, first_cost=2.3)


@pytest.mark.parametrize("amount", [0.11, 0.15, 0.2])
def test_a_gap_between_the_accuracies_is_overfitting_from_the_epoch_it_opened(amount):
    (finding,) = diagnose(gap(amount), context())
    assert finding.rule == "overfitting"
    assert finding.since == 3
    assert finding.evidence[0].value == pytest.approx(amount)
    assert "regularize more: weight decay" in finding.advice


@pytest.mark.parametrize("amount", [-0.2, 0.0, 0.05, 0.0999])
def test_no_gap_is_no_overfitting(amount):
    assert "overfitting" not in rules(gap(amount), context())


def test_a_gap_in_the_first_two_epochs_is_too_early_to_tell():
    readings = tuple(Reading(e, e, 1.0, 0.9, 0.5, 1e-3, 1.0) for e in (1, 2))
    assert rules(Run(State.RUNNING, readings, 2.3), context()) == {}


def test_a_validation_accuracy_that_turned_down_is_evidence_of_overfitting():
    values = [0.5, 0.8, 0.7, 0.6]
    readings = tuple(Reading(e, e, 1 / e, 0.95, v, 1e-3, 1.0) for e, v in enumerate(values, 1))
    (finding,) = diagnose(Run(State.COMPLETE, readings, 2.3), context())
    assert finding.evidence[1].value == pytest.approx(0.2)


def plateau(train, val, costs=(1.5, 1.3, 1.2, 1.1, 1.01, 1.0, 1.0, 1.0, 1.0, 1.0)):
    readings = tuple(Reading(e, e * 100, c, train, val, 1e-3, c) for e, c in enumerate(costs, 1))
    return Run(State.COMPLETE, readings, first_cost=2.3)


def test_a_plateau_without_a_gap_asks_for_more_capacity_in_a_low_voice():
    assert rules(plateau(0.6, 0.6), context()) == {"underfitting": ["plateau"]}
    (finding,) = diagnose(plateau(0.6, 0.6), context())
    assert finding.severity is Severity.INFO
    assert "more units or layers" in finding.advice
    assert report_on(plateau(0.6, 0.6), context()).health is Health.HEALTHY


@pytest.mark.parametrize(
    ("run", "found"),
    [
        (plateau(0.6, 0.55), {"plateau": []}),
        (plateau(0.95, 0.95), {}),
        (
            plateau(0.6, 0.6, costs=(1.9, 1.8, 1.7, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0)),
            {"metric_disagrees_with_loss": []},
        ),
        (plateau(0.12, 0.12), {"plateau": []}),
        (plateau(0.6, 0.6, costs=(2.29,) * 10), {"learning_rate_too_low": ["plateau"]}),
        (plateau(0.6, 0.6, costs=(1.0, 1.0, 1.0, 1.0)), {}),
    ],
)
def test_what_is_no_plateau_is_not_underfitting(run, found):
    assert rules(run, context()) == found


# Runs without much to say


@pytest.mark.parametrize(
    ("run", "health"),
    [
        (Run(State.WAITING), Health.UNDECIDED),
        (Run(State.RUNNING, first_cost=2.3), Health.UNDECIDED),
        (Run(State.FAILED, message="no reason"), Health.UNDECIDED),
        (
            Run(State.RUNNING, (Reading(1, 9, 2.3, 0.1, 0.1, 1e-3),), first_cost=2.3),
            Health.UNDECIDED,
        ),
        (
            Run(
                State.COMPLETE,
                tuple(Reading(e, e, 0.0, 1.0, 1.0, 1e-3, 0.0) for e in range(1, 9)),
                first_cost=0.0,
            ),
            Health.HEALTHY,
        ),
    ],
)
def test_a_run_without_evidence_has_no_finding(run, health):
    for given in (context(), Context(LN10, 0.1, {})):
        report = report_on(run, given)
        assert (report.findings, report.health) == ((), health)


def test_a_run_without_a_reading_leaves_every_question_open():
    report = report_on(Run(State.WAITING), context())
    assert {question.rule for question in report.questions} == {each.problem.name for each in DETECTORS}
    assert {(question.answer, question.reason) for question in report.questions} == {
        (Answer.NOT_ANSWERED, "no reading")
    }


def test_questions_that_do_not_apply_leave_a_run_healthy():
    """A regression without a known rate, penalty or chance level: nothing is asked about those."""
    nan = math.nan
    readings = tuple(Reading(e, e * 100, 4.0 / e, nan, nan, nan, 4.2 / e) for e in range(1, 11))
    report = report_on(Run(State.COMPLETE, readings, 4.1), Context(nan, nan, {}))
    assert (report.findings, report.health) == ((), Health.HEALTHY)
    left = {each.rule: each.reason for each in report.questions if each.answer is Answer.DOES_NOT_APPLY}
    assert left == {
        "negative_loss": "no accuracy is known",
        "metric_disagrees_with_loss": "no accuracy is known",
        "suspiciously_good": "no validation accuracy is known",
        "learning_rate_zero": "no learning rate is known",
        "regularization_too_strong": "no regularization is known",
        "learned_nothing": "the loss of a network that knows nothing is unknown",
        "underfitting": "no training accuracy is known",
    }
    asked = {each.rule for each in report.questions if each.answer is Answer.ANSWERED}
    assert asked == {each.problem.name for each in DETECTORS} - left.keys()


def test_a_regression_that_learns_has_no_finding():
    nan = math.nan
    readings = tuple(Reading(e, e * 100, 4.0 / e, nan, nan, 1e-3, 4.2 / e) for e in range(1, 11))
    given = Context(4.0, nan, {"learning_rate": 1e-3, "l2": 1e-3})
    report = report_on(Run(State.COMPLETE, readings, 4.1), given)
    assert (report.findings, report.health) == ((), Health.HEALTHY)


def test_a_regression_that_stands_still_has_too_low_a_learning_rate():
    nan = math.nan
    readings = tuple(Reading(e, e * 100, 4.0, nan, nan, 1e-9, 4.0) for e in range(1, 11))
    assert rules(Run(State.COMPLETE, readings, 4.0), Context(4.0, nan, {"learning_rate": 1e-9})) == {
        "learning_rate_too_low": ["learned_nothing", "plateau"]
    }


def test_the_most_severe_finding_comes_first():
    readings = tuple(Reading(e, e * STEPS, 2.3025, 0.5, 0.1, 1e-6, 2.3025) for e in range(1, 11))
    run = Run(State.COMPLETE, readings, 2.3025)
    assert rules(run, context()) == {"learning_rate_too_low": ["learned_nothing", "overfitting", "plateau"]}
    found = report_on(run, context()).findings
    assert [finding.severity.rank for finding in found] == [1, 1, 1, 2]


def test_every_detector_has_a_key_of_its_own_a_threshold_and_a_reason():
    assert len({detector.key for detector in DETECTORS}) == len(DETECTORS)
    assert all(detector.key.startswith("readings.") for detector in DETECTORS)
    assert all(detector.signal and detector.reason and detector.needs for detector in DETECTORS)
    assert all(detector.problem.source and detector.problem.fix for detector in DETECTORS)


def test_every_finding_rests_on_evidence_and_gives_advice():
    runs = [(slow(), 1e-6, 0.0), (wild(), 3e-3, 0.0), (gap(0.3), 1e-3, 0.0), (plateau(0.6, 0.6), 1e-3, 0.0)]
    for run, rate, l2 in runs:
        for finding in report_on(run, context(learning_rate=rate, l2=l2)).findings:
            assert finding.evidence
            assert finding.advice
            assert finding.source
            assert finding.where
            assert finding.rule in {detector.problem.name for detector in DETECTORS}


# Real runs


@pytest.fixture(scope="module")
def trained():
    recipe = load_recipe("digits")
    prepared = prepare(recipe, seed=0)

    def train(settings, epochs=10):
        hyperparameters = [{**middle(recipe.full_space()), "l2": 0.0, **own} for own in settings]
        trials = [(own, ("trial", 0, number)) for number, own in enumerate(hyperparameters)]
        trainer = prepared.trainer(trials, epochs)
        list(trainer.epochs())
        return [
            (run, report_on(run, Context(prepared.chance_loss, prepared.chance_accuracy, own)))
            for run, own in zip(trainer.runs(), hyperparameters, strict=True)
        ]

    return train


def test_healthy_runs_stay_silent(trained):
    settings = [
        {"learning_rate": rate, "l2": l2}
        for rate in (1e-3, 2e-3, 5e-3, 1e-2, 2e-2)
        for l2 in (0.0, 1e-4, 1e-2)
    ]
    for (run, report), own in zip(trained(settings), settings, strict=True):
        assert run.state is State.COMPLETE
        assert run.last.val_accuracy > 0.85
        assert (report.findings, report.health) == ((), Health.HEALTHY), own


SHORT = [(1, [False] * 5), (3, [True] * 5), (5, [True] * 5)]


@pytest.mark.parametrize(("epochs", "decided"), SHORT)
def test_healthy_runs_stay_silent_when_they_are_short(trained, epochs, decided):
    """They are healthy from the third epoch on, once they have visibly learned; until then undecided."""
    settings = [{"learning_rate": rate} for rate in (1e-4, 1e-3, 3e-3, 1e-2, 2e-2)]
    reports = [report for _, report in trained(settings, epochs)]
    assert [report.findings for report in reports] == [()] * 5
    assert [report.healthy for report in reports] == decided
    assert all(report for report in reports)
    for report in reports:
        if not report.healthy:
            assert "fewer than 6 readings" in {each.reason for each in report.unanswered}


def only_cause(report):
    (cause,) = report.causes
    return cause.finding, {each.rule for each in cause.symptoms}


def test_a_real_run_that_stands_still_has_too_low_a_learning_rate(trained):
    for run, report in trained([{"learning_rate": rate} for rate in (1e-10, 1e-8, 1e-8, 1e-7, 1e-7, 1e-6)]):
        assert run.state is State.COMPLETE
        finding, symptoms = only_cause(report)
        assert finding.rule == "learning_rate_too_low"
        assert {"plateau"} <= symptoms <= {"learned_nothing", "plateau"}


@pytest.mark.parametrize(("rate", "l2"), [(1e-5, 1e4), (1e-4, 1e3), (1e-3, 1e2), (1e-3, 10)])
def test_a_real_run_under_too_much_regularization_answers_with_a_constant(trained, rate, l2):
    ((run, report),) = trained([{"learning_rate": rate, "l2": l2}])
    assert run.state is State.COMPLETE
    assert run.last.val_accuracy < 0.2
    finding, symptoms = only_cause(report)
    assert finding.rule == "regularization_too_strong"
    assert symptoms == {"learned_nothing", "plateau"}


def test_a_real_run_that_the_penalty_blew_up_says_so(trained):
    ((run, report),) = trained([{"learning_rate": 1e-2, "l2": 1e4}])
    finding, symptoms = only_cause(report)
    assert run.state is State.EXPLODED
    assert (finding.rule, symptoms) == ("loss_exploded", set())
    assert "learning_rate * l2 = 100 > 2" in finding.message


@pytest.mark.parametrize("rate", [3.0, 1e3, 1e6])
def test_a_real_run_with_too_high_a_learning_rate_says_so(trained, rate):
    ((_, report),) = trained([{"learning_rate": rate}])
    finding, symptoms = only_cause(report)
    assert (finding.rule, symptoms) == ("loss_exploded", set())
    assert "learning rate is too high" in finding.message


def stuck(train, val, loss=2.3026, costs=(2.4, 2.2, 2.5, 2.3, 2.35, 2.25)):
    readings = tuple(Reading(e, e * 100, c, train, val, 1e-3, loss) for e, c in enumerate(costs, 1))
    return Run(State.COMPLETE, readings, first_cost=2.9)


def test_a_run_at_chance_for_no_known_cause_has_learned_nothing():
    (finding,) = diagnose(stuck(0.11, 0.1), context())
    assert finding.rule == "learned_nothing"
    assert "babysit check" in finding.advice


def test_fitting_the_training_rows_alone_points_at_the_labels():
    (finding,) = diagnose(stuck(0.9, 0.1, loss=4.0), context())
    assert finding.rule == "learned_nothing"
    assert "labels" in finding.message


def test_a_loss_below_chance_has_learned_something():
    assert "learned_nothing" not in rules(stuck(0.5, 0.4, loss=1.8), context())


def test_at_exactly_chance_the_learning_rate_is_not_blamed_alone():
    flat = stuck(0.1, 0.1, costs=(2.3026,) * 6)
    (finding,) = diagnose(Run(flat.state, flat.readings, first_cost=2.3026), context())
    assert finding.rule == "learning_rate_too_low"
    assert "no gradient arrives" in finding.message
    assert "babysit check" in finding.advice


def test_an_explosion_from_a_first_cost_far_above_chance_names_the_scale():
    run = Run(State.EXPLODED, (), 500.0, Explosion(3, 1, 1e6, 500.0), steps=3)
    (finding,) = diagnose(run, context())
    assert "scale or centre the inputs" in finding.advice

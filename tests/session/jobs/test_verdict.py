"""The verdict on a trained run: layers are asked where it does not learn, and explain what readings show."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from babysit.data.sources import digits
from babysit.readings.context import Context
from babysit.readings.detectors import DETECTORS
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.records import Run, State
from babysit.session.jobs.job import Job
from babysit.session.jobs.train import train
from babysit.session.jobs.verdict import judged
from babysit.verdicts import Answer, Health, Severity
from babysit.watching.detectors import OF_LAYERS


def deep_sigmoid(hp):
    layers = [nn.Flatten(), nn.Linear(64, 30), nn.Sigmoid()]
    for _ in range(5):
        layers += [nn.Linear(30, 30), nn.Sigmoid()]
    return nn.Sequential(*layers, nn.Linear(30, 10))


def drowned(hp):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))
    with torch.no_grad():
        model[1].bias[:] = -100.0
    return model


def squashed(hp):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.Tanh(), nn.Linear(30, 10))
    with torch.no_grad():
        model[1].weight.mul_(1000.0)
        model[3].weight.mul_(1e-3)
    return model


def good(hp):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 50), nn.ReLU(), nn.Linear(50, 10))


def half_dead_but_learning(hp):
    model = good(hp)
    with torch.no_grad():
        model[1].bias[:40] = -100.0
    return model


def verdict(tmp_path, model, rate=0.05, epochs=6, **options):
    recipe = Recipe(
        digits, model, space={"learning_rate": rate}, epochs=epochs, batch_size=50, name="layers", **options
    )
    trained = train(Job("layers", folder=tmp_path), prepare(recipe, seed=0))
    return trained.run, trained.report


def causes(report):
    """Every cause with its symptoms, by name."""
    return {cause.rule: sorted(each.rule for each in cause.symptoms) for cause in report.causes}


def answers(report):
    return {question.rule: question.answer for question in report.questions}


def test_a_deep_sigmoid_stack_that_does_not_learn_has_vanishing_gradients(tmp_path):
    run, report = verdict(tmp_path, deep_sigmoid)
    assert run.state is State.COMPLETE
    assert causes(report) == {"vanishing_gradients": ["learned_nothing"]}
    assert report.causes[0].finding.where == "1.weight"
    assert (report.causes[0].finding.since, report.causes[0].finding.unit) == (1, "epoch")


def test_dead_units_are_named_where_nothing_is_learned(tmp_path):
    _, report = verdict(tmp_path, drowned)
    assert causes(report) == {"dead_units": ["learned_nothing"]}
    assert report.causes[0].finding.severity is Severity.WARNING
    assert "30 of 30" in report.causes[0].finding.message


def test_weights_that_saturate_all_units_are_named_where_nothing_is_learned(tmp_path):
    _, report = verdict(tmp_path, squashed, rate=1e-5)
    (cause,) = report.causes
    assert causes(report) == {
        "weights_too_large": ["learned_nothing", "learning_rate_too_low", "saturated_units"]
    }
    assert cause.finding.severity is Severity.WARNING
    assert {each.where for each in cause.symptoms if each.rule == "saturated_units"} == {"2"}


LAYERS = {detector.problem.name for detector in OF_LAYERS}


@pytest.mark.parametrize(("model", "update"), [(good, "adam"), (half_dead_but_learning, "sgd")])
def test_a_run_that_learns_is_not_asked_about_its_layers(tmp_path, model, update):
    """It is healthy although most units of one are dead: they do it no harm."""
    run, report = verdict(tmp_path, model, rate={"sgd": 0.01, "adam": 3e-3}[update], update=update)
    assert run.best.val_accuracy > 0.6
    assert (report.findings, report.health) == ((), Health.HEALTHY)
    assert answers(report).keys() & LAYERS <= {"learning_rate_too_high"}  # readings ask about it too
    assert answers(report).keys() == {detector.problem.name for detector in DETECTORS}


def test_a_run_that_does_not_learn_is_asked_about_its_layers_too(tmp_path):
    _, report = verdict(tmp_path, drowned)
    assert answers(report).keys() == {detector.problem.name for detector in DETECTORS} | LAYERS
    assert {answers(report)[rule] for rule in LAYERS} == {Answer.ANSWERED}


def test_an_explosion_is_its_own_cause(tmp_path):
    run, report = verdict(tmp_path, good, rate=1e5)
    assert run.state is State.EXPLODED
    assert causes(report) == {"loss_exploded": []}
    assert {each.rule for each in report.unanswered} <= LAYERS  # the run ended at its second step


def test_a_rate_that_is_too_low_is_still_that(tmp_path):
    _, report = verdict(tmp_path, good, rate=1e-7)
    assert causes(report)
    assert causes(report).keys() <= {"learning_rate_too_low", "learned_nothing"}


@pytest.mark.parametrize(
    ("epochs", "words"),
    [(1, "undecided after 1 epoch"), (2, "undecided after 2 epochs"), (3, "healthy after 3 epochs")],
)
def test_the_verdict_says_how_much_was_seen(tmp_path, epochs, words):
    _, report = verdict(tmp_path, good, rate=0.01, epochs=epochs)
    assert (report.when, report.name) == (words.partition(" ")[2], "layers")
    assert report.headline.startswith(f"layers: {words}: nothing wrong in ")


def test_a_short_run_that_has_not_learned_yet_is_undecided(tmp_path):
    _, report = verdict(tmp_path, good, rate=1e-7, epochs=2)
    assert (report.findings, report.health) == ((), Health.UNDECIDED)
    reasons = {question.rule: question.reason for question in report.unanswered}
    assert reasons["learning_rate_too_low"] == "fewer than 5 readings or 50 steps"
    assert reasons["learned_nothing"] == "fewer than 5 readings or 50 steps"


def test_without_a_log_of_its_layers_only_the_readings_are_asked():
    report = judged(Run(State.COMPLETE), Context(2.3, 0.1, {}), None, "a run", "after 0 epochs")
    assert answers(report) == {each.problem.name: Answer.NOT_ANSWERED for each in DETECTORS}
    open_questions = f"{len(report.unanswered)} not answered: no reading"
    assert report.headline == f"a run: undecided after 0 epochs: nothing was answered; {open_questions}"

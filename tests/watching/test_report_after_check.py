"""A watch that is given what the check found: one program, one verdict."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import babysit
from babysit.errors import InputError
from babysit.verdicts import Answer, Health
from watching.loops import mlp, points

CE = nn.CrossEntropyLoss()


def in_batches():
    x, y = points()
    return [(x[at : at + 32], y[at : at + 32]) for at in range(0, len(x), 32)]


def reports(model, rate, steps=120):
    """The check's report, the watch's alone, and the watch's after the check."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    before = babysit.check(model, CE, in_batches(), optimizer)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    found = []
    for given in (None, before):
        model.load_state_dict(start)
        with babysit.watch(model, optimizer, loss=CE, before=given) as watch:
            for step in range(steps):
                x, y = in_batches()[step % 16]
                optimizer.zero_grad()
                loss = CE(model(x), y)
                loss.backward()
                optimizer.step()
                watch.step(loss)
        found.append(watch.report())
    return before, *found


def rules(report):
    return [cause.rule for cause in report.serious]


def test_a_symptom_seen_live_stands_under_the_cause_found_before():
    before, alone, after = reports(mlp(), 30.0)
    assert rules(before) == ["learning_rate_too_high"]
    assert rules(after) == ["learning_rate_too_high"]
    symptoms = {symptom.rule for symptom in after.causes[0].symptoms}
    assert symptoms & {"loss_not_finite", "loss_exploded"}, after
    assert symptoms & {finding.rule for finding in alone.findings}


def test_what_both_doors_find_is_one_cause():
    before, alone, after = reports(nn.Sequential(mlp(), nn.Softmax(dim=1)), 0.1)
    assert rules(before) == rules(alone) == rules(after) == ["softmax_before_cross_entropy"]


def test_a_cause_that_only_the_check_can_see_is_in_the_verdict():
    model = mlp()
    with torch.no_grad():
        for layer in model:
            if isinstance(layer, nn.Linear):
                layer.weight.fill_(0.1)
                layer.bias.zero_()
    before, alone, after = reports(model, 0.1)
    assert "symmetric_units" in rules(before)
    assert "symmetric_units" not in rules(alone)
    assert rules(after)[0] == "symmetric_units"


def test_the_questions_of_both_doors_are_asked():
    before, alone, after = reports(mlp(), 0.1)
    assert (before.health, alone.health, after.health) == (Health.HEALTHY,) * 3
    answered = [
        {question.rule for question in report.questions if question.answer is Answer.ANSWERED}
        for report in (before, alone, after)
    ]
    assert answered[0] | answered[1] == answered[2]
    assert answered[0] - answered[1]
    assert answered[1] - answered[0]


@pytest.mark.parametrize("given", ["healthy", True, [None]], ids=str)
def test_what_is_no_report_is_refused(given):
    model = mlp()
    with pytest.raises(InputError, match="not a report") as refused:
        babysit.watch(model, torch.optim.SGD(model.parameters(), 0.1), before=given)
    assert "babysit.check" in refused.value.fix

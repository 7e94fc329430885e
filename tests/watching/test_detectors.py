"""The table of the live watch: well formed, and right on logs made for one question each."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.loss_graph import read_loss
from babysit.verdicts import Health, Severity
from babysit.watching.report import report_on
from babysit.watching.sample import Epoch, LayerStat, OutputStat, Sample, Setup, TensorStat, WatchLog
from watching.loops import fit, mlp, points


def falling(steps=200, first=2.3, last=0.2):
    return tuple(first * (last / first) ** (step / steps) for step in range(steps))


def rules(log):
    return [cause.finding.rule for cause in report_on(log).causes]


def test_a_rule_that_breaks_does_not_end_the_report():
    stat = TensorStat(1.0, 1.0, 1e-3, 100, 2)
    samples = (Sample(1, True, rates=("fast",), tensors={"w": stat}),) * 5
    report = report_on(WatchLog(Setup(), falling(), samples=samples))
    assert report.health is Health.UNDECIDED
    reasons = {question.rule: question.reason for question in report.unanswered}
    assert "the question raised TypeError" in reasons["learning_rate_zero"]
    assert "learned_nothing" not in reasons
    assert not report.findings


def test_nan_names_the_first_bad_layer_and_what_grew():
    def sample(step, weight, std):
        layers = {"0": LayerStat(0.0, 1.0), "1": LayerStat(0.0, std), "2": LayerStat(std, std)}
        tensors = {"1.weight": TensorStat(weight, 1.0, weight, 100, 2)}
        return Sample(step, True, (0.1,), layers=layers, tensors=tensors)

    samples = (sample(1, 1.0, 1.0), sample(17, 1e6, 1e9), sample(33, math.nan, math.nan))
    losses = (2.0,) * 20 + (50.0,) * 4 + (math.nan,) * 16
    cause = report_on(WatchLog(Setup(), losses, samples=samples)).causes[0]
    assert cause.rule == "learning_rate_too_high"
    assert "became NaN at step 25" in cause.finding.message
    assert "learning rate of 0.01" in cause.finding.advice
    (finding,) = [symptom for symptom in cause.symptoms if symptom.rule == "loss_not_finite"]
    assert (finding.where, finding.since) == ("1", 25)
    assert "|1.weight| grew 1e+06 times" in finding.message
    assert "learning rate is too high" in finding.advice


def test_nan_in_the_input_is_not_blamed_on_the_rate():
    output = OutputStat(32, math.nan, math.nan, math.nan, input_finite=False, finite=False)
    log = WatchLog(Setup(), (2.0, math.nan), samples=(Sample(2, True, output=output),))
    cause = report_on(log).causes[0]
    assert (cause.rule, cause.finding.where) == ("inputs_not_finite", "input")
    (symptom,) = cause.symptoms
    assert symptom.rule == "loss_not_finite"
    assert "clean the data" in symptom.advice


@pytest.mark.parametrize(
    ("train", "val", "losses", "expected"),
    [
        ((0.7, 0.9, 1.0), (0.65, 0.7, 0.7), (math.nan,) * 3, ["overfitting"]),
        ((0.7, 0.9, 0.99), (0.7, 0.88, 0.9), (math.nan,) * 3, []),
        ((math.nan,) * 3, (math.nan,) * 3, (0.8, 0.7, 1.2, 1.3), ["overfitting"]),
        ((math.nan,) * 3, (math.nan,) * 3, (0.8, 0.7, 0.72), []),
    ],
)
def test_overfitting_is_a_gap_that_costs_something(train, val, losses, expected):
    rows = range(max(len(train), len(losses)))
    pick = [
        (*each, math.nan)[: len(rows)] if len(each) < len(rows) else each for each in (train, val, losses)
    ]
    epochs = tuple(Epoch(50 * (row + 1), *(column[row] for column in pick)) for row in rows)
    assert rules(WatchLog(Setup(), falling(), epochs=epochs)) == expected


def test_underfitting_is_a_remark():
    epochs = tuple(Epoch(40 * (row + 1), 0.6, 0.6) for row in range(5))
    losses = falling(50, last=1.0) + (1.0,) * 150
    report = report_on(WatchLog(Setup(), losses, epochs=epochs))
    assert "underfitting" in rules(WatchLog(Setup(), losses, epochs=epochs))
    assert not report.serious


def test_a_loss_that_swings_to_and_fro():
    losses = tuple(1.0 + 0.3 * (-1) ** step for step in range(200))
    tensors = {"w": TensorStat(1.0, 1.0, 1e-2, 100, 2)}
    samples = tuple(Sample(step, True, (0.1,), tensors=tensors) for step in range(1, 200, 16))
    assert rules(WatchLog(Setup(), losses, samples=samples))[0] == "oscillation"


def test_a_spike_that_is_recovered_from_is_no_explosion():
    losses = list(falling())
    losses[60:66] = [30.0] * 6
    assert not report_on(WatchLog(Setup(), tuple(losses))).findings


def test_symptoms_stand_under_their_cause():
    losses = falling(40, first=1.0, last=50.0) + (60.0,) * 60
    samples = tuple(Sample(step, True, (0.1,), stale=True) for step in range(1, 100, 16))
    cause, *rest = report_on(WatchLog(Setup(), losses, samples=samples)).causes
    assert cause.finding.rule == "gradients_not_zeroed"
    assert [symptom.rule for symptom in cause.symptoms] == ["loss_exploded", "learning_rate_too_high"]
    assert not [other for other in rest if other.finding.severity is not Severity.INFO]


@pytest.mark.parametrize(
    ("loss", "fed"),
    [
        (lambda z, y: F.cross_entropy(z, y), ""),
        (lambda z, y: F.cross_entropy(z.log_softmax(1), y), ""),
        (lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1), ""),
        (lambda z, y: F.cross_entropy(z.softmax(1), y, label_smoothing=0.1), "softmax"),
        (lambda z, y: F.cross_entropy(z.softmax(1).squeeze(), y) + 1e-3 * z.square().sum(), "softmax"),
        (lambda z, y: F.cross_entropy(z.relu(), y), "relu"),
        (lambda z, y: F.nll_loss(z.softmax(1), y), "no logarithm"),
        (lambda z, y: F.binary_cross_entropy_with_logits(z.sigmoid(), z.detach().sigmoid()), "sigmoid"),
        (lambda z, y: F.binary_cross_entropy(z.sigmoid(), z.detach().sigmoid()), ""),
    ],
)
def test_the_graph_tells_what_feeds_a_loss(loss, fed):
    scores = nn.Linear(5, 3)(torch.randn(8, 5))
    assert read_loss(loss(scores, torch.randint(0, 3, (8,)))).fed_by == fed


def test_pairs_that_are_meant_are_not_called_stretched():
    points = nn.Linear(5, 1)(torch.randn(8, 5))
    assert read_loss((points - points.T).square().mean()).stretched is None
    assert read_loss((points - torch.randn(8, 1)).square().mean()).stretched is None
    assert read_loss((points - torch.randn(8)).abs().mean()).stretched == ((8, 1), (8, 8))
    assert read_loss((torch.randn(8, 1) - points[:, 0]).square().mean()).stretched == ((8,), (8, 8))


@pytest.mark.parametrize(("low", "expected"), [(-1.0, "labels_outside_range"), (0.0, "")])
def test_binary_labels_of_minus_one(low, expected):
    torch.manual_seed(0)
    x, y = points(256, classes=2)
    report, _ = fit(
        model := mlp(8, 16, 1),
        (x, torch.where(y == 0, low, 1.0)[:, None]),
        nn.BCEWithLogitsLoss(),
        torch.optim.Adam(model.parameters(), 1e-3),
        epochs=10,
    )
    assert [cause.finding.rule for cause in report.causes][:1] == ([expected] if expected else [])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_likelihood_of_bare_scores_is_no_flipped_sign(sign):
    torch.manual_seed(0)
    report, _ = fit(
        model := mlp(),
        points(256),
        nn.NLLLoss() if sign > 0 else nn.CrossEntropyLoss(),
        torch.optim.Adam(model.parameters(), 1e-3),
        epochs=10,
        adjust=lambda loss: sign * loss,
    )
    expected = "nll_without_log_softmax" if sign > 0 else "sign_flipped"
    assert report.causes[0].finding.rule == expected

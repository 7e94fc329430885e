"""Detectors on labels: shuffled, shifted and unbalanced ones."""

from __future__ import annotations

import torch
from tests.checks.programs import check, classifier, clusters, finding
from torch import nn

from babysit.verdicts import Severity


def shuffled(y):
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(5))]


def test_shuffled_labels_are_unrelated_and_true_ones_are_not():
    x, y = clusters()
    assert finding(check(x, y), "labels_unrelated") is None
    report = check(x, shuffled(y))
    assert [cause.rule for cause in report.causes] == ["labels_unrelated"]
    assert report.causes[0].finding.evidence[0].value < 0.45


def test_labels_of_noise_are_no_fault():
    generator = torch.Generator().manual_seed(2)
    x, y = torch.randn(400, 6, generator=generator), torch.randint(3, (400,), generator=generator)
    assert finding(check(x, y), "labels_unrelated") is None


def test_two_classes_that_neighbours_do_not_separate_are_an_info_finding():
    x, y = clusters()
    report = check(x, shuffled(y) % 2)
    assert report.healthy
    assert finding(report, "labels_unrelated").severity is Severity.INFO


def test_labels_off_by_one_explain_that_they_seem_unrelated():
    x, y = clusters()
    report = check(x, y.roll(1))
    assert report.causes[0].rule == "labels_shifted"
    assert "1 place earlier" in report.causes[0].finding.message
    assert [symptom.rule for symptom in report.causes[0].symptoms] == ["labels_unrelated"]
    assert finding(check(x, y), "labels_shifted") is None


def test_imbalance_says_what_it_does_to_accuracy_and_loss():
    x, _ = clusters()
    y = (torch.arange(400) % 20 == 0).long()
    found = finding(check(x, y, classifier(outputs=2)), "labels_unbalanced")
    assert "95%" in found.message
    assert "0.212 beside 0.693" in found.message  # the entropy of 7 in 128, ln 2


def test_imbalance_of_a_binary_target_and_of_many_classes():
    x, _ = clusters()
    rare = (torch.arange(400) % 20 == 0).float()[:, None]
    assert finding(check(x, rare, classifier(outputs=1), nn.BCEWithLogitsLoss()), "labels_unbalanced")
    y = torch.where(torch.arange(400) % 5 > 0, torch.arange(400) % 2, torch.arange(400) % 8)
    found = finding(check(x, y, classifier(outputs=8)), "labels_unbalanced")
    assert "classes in use" in found.evidence[0].why
    assert finding(check(x, torch.arange(400) % 8, classifier(outputs=8)), "labels_unbalanced") is None

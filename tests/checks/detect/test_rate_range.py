"""The detector that compares the learning rate with the range that learns fastest."""

from __future__ import annotations

import pytest
import torch
from tests.checks.programs import check, classifier, clusters, finding

from babysit.checks import experiments
from babysit.checks.detect import rate_range
from babysit.verdicts import Severity


@pytest.mark.parametrize(("rate", "place"), [(1e-3, "lies below"), (0.1, "lies in")])
def test_the_position_of_the_rate_is_an_info_finding(monkeypatch, rate, place):
    monkeypatch.setattr(rate_range, "SECONDS", 1e9)
    monkeypatch.setattr(experiments, "SECONDS", 1e9)
    x, y = clusters()
    model = classifier()
    report = check(x, y, model, optimizer=torch.optim.SGD(model.parameters(), lr=rate))
    assert report.healthy
    found = finding(report, "learning_rate_range")
    assert found.severity is Severity.INFO
    assert f"learning rate {rate:g} {place}" in found.message

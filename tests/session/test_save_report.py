"""`babysit.save_report`: a watch or a report as a page, as JSON, as SARIF."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import babysit
from babysit.errors import InputError


@pytest.fixture(scope="module")
def watching():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 5, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    with babysit.watch(model, optimizer, loss=criterion, name="small") as watching:
        for _ in range(40):
            loss = criterion(model(x), x[:, :3].argmax(1))
            loss.backward()  # nobody zeroes the gradients
            optimizer.step()
            watching.step(loss)
        watching.epoch(train_accuracy=0.9, val_accuracy=0.8)
    return watching


def test_a_watch_becomes_a_page_with_figures(watching, tmp_path):
    path = babysit.save_report(watching, tmp_path / "pages" / "run.html")
    page = path.read_text(encoding="utf-8")
    assert "gradients are not zeroed" in page
    assert page.count("<svg") >= 6
    assert {'id="loss"', 'id="updates"', 'id="spread"', 'id="scores"'} <= set(page.replace(">", " ").split())


def test_its_report_becomes_a_page_without(watching, tmp_path):
    page = babysit.save_report(watching.report(), tmp_path / "run.html").read_text(encoding="utf-8")
    assert "gradients are not zeroed" in page
    assert "<svg" not in page


def test_the_ending_says_the_form(watching, tmp_path):
    data = json.loads(babysit.save_report(watching, tmp_path / "run.json").read_text())
    assert data["causes"][0]["rule"] == "gradients_not_zeroed"
    log = json.loads(babysit.save_report(watching, tmp_path / "run.SARIF").read_text())
    rule = log["runs"][0]["tool"]["driver"]["rules"][0]
    assert rule["id"] == "gradients_not_zeroed"
    assert "zero_grad" in rule["help"]["text"]


def test_what_cannot_be_written(watching, tmp_path):
    with pytest.raises(InputError, match=r"\.html, \.json, \.sarif"):
        babysit.save_report(watching, tmp_path / "run.pdf")
    with pytest.raises(InputError, match="cannot write a dict"):
        babysit.save_report({}, tmp_path / "run.html")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        babysit.save_report(watching, tmp_path / "folder.html")

"""Your own training loop with a store: the run is recorded, and the loop is not changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import babysit as bs
from babysit.errors import StoreError
from babysit.records import State
from babysit.store import queries, run_queries
from babysit.store.reader import Reader
from babysit.views.data.recorded_run import load_trial_view


def train(store, steps=40, fail_at=0, forget=False):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    x = torch.randn(32, 6)
    y = x.sum(1, keepdim=True)
    losses = []
    with bs.watch(model, optimizer, name="mine <b>", store=store) as watch:
        for step in range(1, steps + 1):
            if not forget:
                optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            optimizer.step()
            watch.step(loss)
            losses.append(loss.item())
            if step % 20 == 0:
                watch.epoch(val_loss=0.5, val_accuracy=0.25)
            if step == fail_at:
                raise ValueError("the loop's own")
    assert watch.log().failures == (0, "")
    return losses, model


def test_the_run_is_in_the_store_as_it_was(tmp_path):
    path = str(tmp_path / "runs.db")
    losses, model = train(path)
    same, other = train(None)
    assert losses == same
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    with Reader(path) as reader:
        (study,) = queries.studies(reader)
        assert (study.name, study.kind, study.state) == ("mine <b>", "watch", State.COMPLETE)
        (result,) = queries.results(reader, study.id)
        steps, costs = queries.costs(reader, study.id, (0, 0))
        series = queries.series_of(reader, study.id, (0, 0))
    assert result.trial.hyperparameters == {"learning_rate": 0.05, "optimizer": "SGD"}
    assert (result.run.steps, result.run.first_cost) == (40, losses[0])
    assert [(one.epoch, one.step, one.cost) for one in result.run.readings] == [
        (1, 20, losses[19]),
        (2, 40, losses[39]),
    ]
    assert {one.val_loss for one in result.run.readings} == {0.5}
    np.testing.assert_array_equal(steps, np.arange(1, 41))
    np.testing.assert_array_equal(costs, np.float32(losses))
    assert {
        "learning_rate",
        "layers/0.weight/update_ratio",
        "layers/1/mean",
        "layers/1/dead",
    } <= series.keys()
    assert series["layers/0.weight/update_ratio"][0].tolist()[:3] == [1, 3, 5]


def test_findings_and_the_reason_of_the_end_are_kept(tmp_path):
    path = str(tmp_path / "runs.db")
    train(path, forget=True)
    with pytest.raises(ValueError, match="the loop's own"):
        train(path, fail_at=25)
    with Reader(path) as reader:
        failed, faulty = queries.studies(reader)
        assert (failed.state, faulty.state) == (State.FAILED, State.COMPLETE)
        (result,) = queries.results(reader, failed.id)
        assert (result.run.steps, result.run.message) == (25, "ValueError: the loop's own")
        rules = [finding.rule for finding in queries.verdicts(reader, faulty.id)[0, 0].findings]
    assert "gradients_not_zeroed" in rules


def test_findings_are_there_while_the_loop_still_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("babysit.session.watch._SECONDS", 0.0)
    path, seen = str(tmp_path / "runs.db"), []
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x, y = torch.randn(32, 6), torch.arange(32) % 3
    criterion = nn.CrossEntropyLoss()
    with bs.watch(model, optimizer, loss=criterion, store=path) as watch, Reader(path) as reader:
        for _ in range(60):
            loss = criterion(model(x), y)  # gradients are never zeroed
            loss.backward()
            optimizer.step()
            watch.step(loss)
        watch.epoch()
        seen = [cause.rule for cause in run_queries.verdict(reader, 1, (0, 0)).causes]
        assert queries.study(reader, 1).state is State.RUNNING
    assert watch.log().failures == (0, "")
    assert "gradients_not_zeroed" in seen
    with Reader(path) as reader:
        view = load_trial_view(reader, 1, (0, 0))
    assert {finding.unit for finding in view.verdict.findings} == {"step"}
    assert view.chance_loss == pytest.approx(np.log(3), abs=0.01)
    assert view.study.settings["environment"]["torch"] == torch.__version__


def test_a_store_that_breaks_does_not_reach_the_loop(tmp_path, monkeypatch):
    def full(*args):
        raise StoreError("the disk is full")

    monkeypatch.setattr("babysit.store.writer.Writer.details", full)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with bs.watch(model, optimizer, store=str(tmp_path / "runs.db")) as watch:
        optimizer.zero_grad()
        loss = model(torch.ones(4, 2)).square().mean()
        loss.backward()
        optimizer.step()
        watch.step(loss)
        watch.epoch()
    assert watch.log().failures[1] == "StoreError: the disk is full"


def test_a_store_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "runs.db").write_text("my notes, not a database\n" * 50)
    model = nn.Linear(2, 1)
    with pytest.raises(StoreError, match="not a babysit store"):
        bs.watch(model, torch.optim.SGD(model.parameters(), lr=0.1), store=str(tmp_path / "runs.db"))

"""Streamed data give the same results as data in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from babysit.data.batches import Batches, Streamed, evaluation_inputs
from babysit.data.dataset import Dataset, Split
from babysit.data.folds import folds
from babysit.data.mapped import Mapped
from babysit.data.preprocessing import MeanImage
from babysit.data.sources import digits
from babysit.errors import DataError
from babysit.nn.networks import two_layer
from babysit.training.evaluation import evaluation_of
from babysit.training.folds import FoldTrainer
from babysit.training.losses import LOSSES
from babysit.training.plan import Candidate, EpochReport, FoldRows, Plan
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Trainer
from babysit.training.updates import UPDATES

PLAN = Plan(LOSSES["softmax"], UPDATES["momentum"], SCHEDULES["constant"], epochs=2)


@pytest.fixture(scope="module")
def kept() -> Dataset:
    """The digits in memory."""
    return digits(preprocess=[MeanImage()])


@pytest.fixture(scope="module")
def streamed(kept, tmp_path_factory) -> Dataset:
    """The same digits in files."""
    folder: Path = tmp_path_factory.mktemp("digits")
    parts = {}
    for name in ("train", "val", "test"):
        part = getattr(kept, name)
        np.save(folder / f"{name}.npy", part.x)
        parts[name] = Split(Mapped(folder / f"{name}.npy"), part.y)
    return replace(kept, preprocessing=(), **parts).preprocessed([MeanImage()])


@pytest.fixture(autouse=True)
def _nothing_is_held(monkeypatch):
    """As if the digits were too large to be held as float32."""
    monkeypatch.setitem(evaluation_inputs.__kwdefaults__, "held_bytes", 0)


def trainer(data: Dataset, batches: Batches | None = None) -> Trainer:
    members = []
    for number, rate in enumerate((1e-2, 1e-1, 1e3)):
        torch.manual_seed(number)
        members.append(Candidate(two_layer(64, hidden=16), {"learning_rate": rate}, number))
    found = batches or Batches(data, 100, seed=0, in_memory_bytes=0)
    return Trainer(members, PLAN, found, evaluation_of(data, seed=0))


def equal(ours: list[EpochReport], theirs: list[EpochReport]) -> bool:
    readings = [report.readings for report in ours] == [report.readings for report in theirs]
    costs = [{member: costs.tolist() for member, costs in report.costs.items()} for report in ours]
    return readings and costs == [
        {member: costs.tolist() for member, costs in report.costs.items()} for report in theirs
    ]


def test_a_population_ends_bit_for_bit_as_in_memory(kept, streamed):
    ours, theirs = trainer(streamed), trainer(kept, Batches(kept, 100, seed=0))
    assert isinstance(ours.evaluation.val_x, Streamed)
    assert equal(list(ours.epochs()), list(theirs.epochs()))
    assert ours.runs()[2].explosion is not None
    for member in (0, 1):
        left, right = ours.weights(member), theirs.weights(member)
        assert all(torch.equal(left[name], right[name]) for name in left)


def test_folds_end_bit_for_bit_as_in_memory(kept, streamed):
    reports = []
    for data in (kept, streamed):
        found = folds(data, 3, seed=0)
        rows = Split(found.fold_of[:, None], found.fold_of)
        fold_rows = FoldRows(found.fold_of, found.dataset.sample(rows, 1000, 0).y)
        batches, evaluation = (
            Batches(found.dataset, 100, seed=0, in_memory_bytes=0),
            evaluation_of(found.dataset, seed=0),
        )
        torch.manual_seed(0)
        candidates = [Candidate(two_layer(64, hidden=16), {"learning_rate": 1e-2}, 0)]
        inner = FoldTrainer(
            candidates,
            3,
            lambda members, batches=batches, evaluation=evaluation, rows=fold_rows: Trainer(
                members, PLAN, batches, evaluation, folds=rows
            ),
        )
        reports.append(list(inner.epochs()))
    assert equal(*reports)


def test_an_epoch_that_ends_early_leaves_the_next_untouched(kept, streamed):
    for data in (kept, streamed):
        stopped, whole = trainer(data), trainer(data)
        first = next(stopped.epochs(steps=5))
        assert first.readings[0].step == 5
        assert next(whole.epochs()).costs[0][:5].tolist() == first.costs[0].tolist()


def test_streamed_inputs_are_those_that_would_be_held(kept, streamed):
    held = evaluation_inputs(kept, kept.val, held_bytes=2**30)
    pieces = evaluation_inputs(streamed, streamed.val)
    assert isinstance(held, torch.Tensor)
    assert isinstance(pieces, Streamed)
    assert torch.equal(torch.cat(list(pieces.split(70))), held)
    assert torch.equal(torch.cat(list(pieces.double().split(70))), held.double())
    wanted = torch.arange(len(held)) % 3 == 1
    assert torch.equal(torch.cat(list(pieces.of(wanted).split(7))), held[wanted])


def test_what_a_network_does_to_a_piece_stays_with_it(kept):
    for x in (kept.val.x, kept.inputs(kept.val.x)):
        data = Dataset("d", Split(x, kept.val.y), Split(x, kept.val.y))
        before = x.copy()
        for piece in evaluation_inputs(data, data.val).split(100):
            piece.fill_(7)
        assert np.array_equal(x, before)


def test_a_row_that_cannot_be_read_ends_the_epoch_with_its_name(tmp_path):
    x = np.zeros((600, 4), dtype=np.float32)
    x[333] = np.nan
    np.save(tmp_path / "x.npy", x)
    rows = Mapped(tmp_path / "x.npy")
    y = np.arange(600) % 2
    data = Dataset("d", Split(rows, y), Split(np.zeros((10, 4), np.float32), y[:10]), classes=("a", "b"))
    batches = Batches(data, 10, seed=0, in_memory_bytes=0)
    with pytest.raises(DataError, match=r"x.npy holds nan in row 333 \(from 0\)"):
        for _ in batches.epoch(1):
            pass

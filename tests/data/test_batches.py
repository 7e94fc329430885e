"""Mini-batches: a partition of the rows, in an order that seed and epoch fix."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from babysit.data.batches import Batches, evaluation_tensors
from babysit.data.dataset import Dataset, Split
from babysit.data.preprocessing import MeanImage
from babysit.data.sources import digits
from babysit.errors import SpaceError


def numbered(rows: int, kind: type = np.float32) -> Dataset:
    """Rows that hold their own number."""
    x = np.arange(rows, dtype=kind)[:, None]
    part = Split(x, np.arange(rows) % 2)
    return Dataset("numbered", part, part, classes=("even", "odd"))


@given(
    rows=st.integers(1, 40), batch_size=st.integers(1, 50), seed=st.integers(0, 9), epoch=st.integers(1, 9)
)
@settings(max_examples=80, deadline=None)
def test_batches_partition_the_rows(rows, batch_size, seed, epoch):
    batches = Batches(numbered(rows), batch_size, seed=seed)
    taken = [x[:, 0].tolist() for x, _ in batches.epoch(epoch)]
    assert len(taken) == batches.steps_per_epoch == max(rows // batch_size, 1)
    assert {len(batch) for batch in taken} == {min(batch_size, rows)}
    flat = [row for batch in taken for row in batch]
    assert len(set(flat)) == len(flat)
    assert len(flat) == rows - rows % min(batch_size, rows)


def test_targets_go_with_their_inputs():
    for x, y in Batches(numbered(20), 6, seed=0).epoch(1):
        assert torch.equal(x[:, 0].long() % 2, y)


def order(batches: Batches, epoch: int) -> list[float]:
    return [value for x, _ in batches.epoch(epoch) for value in x[:, 0].tolist()]


def test_the_order_depends_on_seed_and_epoch_only():
    batches = Batches(numbered(50), 10, seed=3)
    third = order(batches, 3)
    assert order(batches, 1) != order(batches, 2) != third
    assert third == order(batches, 3) == order(Batches(numbered(50), 10, seed=3), 3)
    assert third != order(Batches(numbered(50), 10, seed=4), 3)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    order(batches, 1)
    assert torch.equal(state, torch.get_rng_state())


def test_kept_and_per_batch_preprocessing_give_the_same_batches():
    data = digits(preprocess=[MeanImage()])
    kept, by_batch = (Batches(data, 100, seed=0, in_memory_bytes=size) for size in (2**20, 0))
    for (x, y), (other_x, other_y) in zip(kept.epoch(1), by_batch.epoch(1), strict=True):
        assert torch.equal(x, other_x)
        assert torch.equal(y, other_y)


@pytest.mark.parametrize("in_memory_bytes", [0, 2**20])
def test_types_and_layout(in_memory_bytes):
    x, y = next(Batches(digits(), 32, seed=0, in_memory_bytes=in_memory_bytes).epoch(1))
    assert (x.dtype, y.dtype, x.shape) == (torch.float32, torch.int64, (32, 1, 8, 8))
    assert x.is_contiguous()


@pytest.mark.parametrize("shape", [(6,), (6, 2)])
def test_targets_of_a_regression_are_float32(shape):
    part = Split(np.zeros((6, 1)), np.zeros(shape, dtype=np.float32))
    data = Dataset("r", part, part)
    _, y = next(Batches(data, 6, seed=0).epoch(1))
    assert (y.dtype, tuple(y.shape)) == (torch.float32, shape)
    assert evaluation_tensors(data, data.val)[1].dtype == torch.float32


@pytest.mark.parametrize("in_memory_bytes", [0, 2**20])
def test_a_network_that_changes_its_input_does_not_change_the_data(in_memory_bytes):
    data = numbered(8)
    batches = Batches(data, 8, seed=0, in_memory_bytes=in_memory_bytes)
    for tensor in (*next(batches.epoch(1)), *evaluation_tensors(data, data.val)):
        tensor.zero_()
    assert data.train.x.sum() == 28
    assert data.train.y.sum() == 4
    assert next(batches.epoch(1))[0].sum() == 28


def test_read_only_arrays_work():
    data = numbered(8)
    data.train.x.flags.writeable = False
    data.train.y.flags.writeable = False
    next(Batches(data, 8, seed=0).epoch(1))[0].add_(1)
    evaluation_tensors(data, data.train)[0].add_(1)


def test_evaluation_tensors_are_the_preprocessed_split():
    data = digits(preprocess=[MeanImage()])
    x, y = evaluation_tensors(data, data.val)
    assert np.array_equal(x.numpy(), data.inputs(data.val.x))
    assert np.array_equal(y.numpy(), data.val.y)


def test_an_impossible_batch_size_is_refused():
    with pytest.raises(SpaceError, match="at least 1"):
        Batches(numbered(3), 0, seed=0)

"""The trainer's own observer: the watch's statistics for every member, and nothing that changes a run."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit import watch
from babysit.data.batches import Batches
from babysit.data.sources import digits
from babysit.nn.networks import two_layer
from babysit.records import State
from babysit.seeding import seeded
from babysit.training.evaluation import evaluation_of
from babysit.training.losses import LOSSES
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Candidate, Plan, Trainer
from babysit.training.updates import UPDATES
from babysit.watching.observer import PopulationObserver
from babysit.watching.shadow import ShadowModel
from babysit.watching.trace import MemberTrace

WAYS = ("fused", "vmap", "serial")


@pytest.fixture(scope="module")
def data():
    return digits()


def with_everything():
    """Batch norm, dropout, convolution, two activations."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 12),
        nn.Tanh(),
        nn.Dropout(0.3),
        nn.Linear(12, 10),
    )


def candidates(make, rates, momentum=0.9):
    made = []
    for index, rate in enumerate(rates):
        with seeded(0, "member", index):
            hyperparameters = {"learning_rate": rate, "l2": 1e-3, "momentum": momentum}
            made.append(Candidate(make(), hyperparameters, key=7 + index))
    return made


def trainer_of(data, members, *, observer=None, epochs=2, way=None, update="momentum"):
    plan = Plan(LOSSES["softmax"], UPDATES[update], SCHEDULES["constant"], epochs)
    trainer = Trainer(members, plan, Batches(data, 100, seed=3), evaluation_of(data, seed=3), way=way)
    trainer.observer = observer
    return trainer


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("detailed", [False, True])
def test_weights_costs_and_random_state_are_bit_identical(data, way, detailed):
    ends = []
    for observer in (None, PopulationObserver(4, detailed=detailed)):
        torch.manual_seed(5)
        members = candidates(with_everything, [1e-2, 3e-2, 1e-1])
        trainer = trainer_of(data, members, observer=observer, way=way, epochs=1)
        costs = [report.costs[member] for report in trainer.epochs() for member in sorted(report.costs)]
        ends.append((trainer, costs, torch.get_rng_state()))
        if observer is not None:
            assert observer.guard.failures == 0, observer.guard.first
            assert len(observer.take()[0]) > 3
    (plain, plain_costs, plain_state), (observed, costs, state) = ends
    assert plain.lowering.kind == way
    for name in plain.population.tensors:
        assert torch.equal(plain.population.tensors[name], observed.population.tensors[name]), name
    assert all(np.array_equal(a, b) for a, b in zip(plain_costs, costs, strict=True))
    assert [run.readings for run in plain.runs()] == [run.readings for run in observed.runs()]
    assert torch.equal(plain_state, state)


@pytest.mark.parametrize("way", WAYS)
def test_a_member_has_the_statistics_that_the_watch_gives_its_own_loop(data, way):
    def make():
        return nn.Sequential(
            nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 15), nn.Tanh(), nn.Linear(15, 10)
        )

    members = candidates(make, [1e-2, 5e-2, 2e-1], momentum=0.9)
    observer = PopulationObserver(16)
    list(trainer_of(data, members, observer=observer, way=way, epochs=1).epochs())
    seen = {look.sample.step: look for look in observer.take()[1]}

    model = members[1].model
    optimizer = torch.optim.SGD(model.parameters(), lr=5e-2, momentum=0.9)
    decayed = [value for value in model.parameters() if value.dim() > 1]
    with watch(model, optimizer) as watching:
        for x, y in Batches(data, 100, seed=3).epoch(1):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            for value in decayed:  # no decay of biases, as in the trainer
                value.grad.add_(value.detach(), alpha=1e-3)
            optimizer.step()
            watching.step(loss)
    theirs = {sample.step: sample for sample in watching.log().samples}
    common = sorted(seen.keys() & theirs.keys())
    assert common[:3] == [1, 3, 9]
    for step in common:
        ours, other = seen[step].sample, theirs[step]
        assert list(ours.layers) == list(other.layers)
        assert list(ours.tensors) == list(other.tensors)
        for name, stat in ours.tensors.items():
            assert (stat.size, stat.dims) == (other.tensors[name].size, other.tensors[name].dims)
            assert stat.weight == pytest.approx(other.tensors[name].weight, rel=1e-4, abs=1e-7)
            assert stat.update == pytest.approx(other.tensors[name].update, rel=2e-3)
            assert stat.ratio == pytest.approx(other.tensors[name].ratio, rel=2e-3, nan_ok=True)
        for name, stat in ours.layers.items():
            assert stat.mean == pytest.approx(other.layers[name].mean, rel=1e-3, abs=1e-5)
            assert stat.std == pytest.approx(other.layers[name].std, rel=1e-3)
            assert stat.saturated == pytest.approx(other.layers[name].saturated, abs=2e-3, nan_ok=True)
        assert ours.output.examples == other.output.examples == 100
        assert ours.output.spread == pytest.approx(other.output.spread, rel=1e-3)
        # The watch's gradient holds the decay that this loop put in; biases have none.
        for name, stat in ours.tensors.items():
            if stat.dims == 1:
                assert stat.gradient == pytest.approx(other.tensors[name].gradient, rel=2e-3)


def test_gradient_norms_are_those_of_the_data_loss(data):
    members = candidates(lambda: two_layer(64, 20), [1e-2, 1e-1])
    observer = PopulationObserver()
    list(trainer_of(data, members, observer=observer, epochs=1).epochs(steps=1))
    x, y = next(iter(Batches(data, 100, seed=3).epoch(1)))
    for member, looks in observer.take().items():
        model = members[member].model
        F.cross_entropy(model(x), y).backward()
        for name, value in model.named_parameters():
            stat = looks[0].sample.tensors[name]
            assert stat.gradient == pytest.approx(float(value.grad.norm()), rel=1e-4)


def test_dead_units_are_found_in_the_member_that_has_them(data):
    def make():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10))

    members = candidates(make, [1e-3, 1e-3])
    with torch.no_grad():
        members[1].model[1].bias[:15] = -1e6
    observer = PopulationObserver(4)
    list(trainer_of(data, members, observer=observer, epochs=1).epochs())
    shares = []
    for looks in observer.take().values():
        trace = MemberTrace("momentum")
        details = trace.add(looks)
        units = trace.log([2.3] * 15, ()).units
        assert units["2"].units == 20  # the ReLU speaks for the layer that feeds it
        shares.append(units["2"].dead)
        assert details.series["layers/2/dead"][1][-1] == units["2"].share
    assert shares[0] < 5
    assert shares[1] >= 15


def test_samples_are_dense_at_first_and_sparser_later():
    observer = PopulationObserver(128)
    sampled = []
    for step in range(1, 3000):
        if observer.wants(step):
            sampled.append(step)
            observer._next = step + min(2 * step, 128 if step < 512 else 512)
    assert sampled[:9] == [1, 3, 9, 27, 81, 209, 337, 465, 593]
    assert sampled[9:11] == [1105, 1617]


def test_an_exploded_member_leaves_and_the_others_are_still_seen(data):
    members = candidates(lambda: two_layer(64, 20), [1e-2, 1e6, 2e-2])
    observer = PopulationObserver(4)
    trainer = trainer_of(data, members, observer=observer)
    list(trainer.epochs())
    assert [run.state for run in trainer.runs()] == [State.COMPLETE, State.EXPLODED, State.COMPLETE]
    looks = observer.take()
    assert len(looks[1]) < len(looks[0]) == len(looks[2])
    assert looks[2][-1].sample.rates == (2e-2,)
    assert observer.guard.failures == 0


def test_joined_populations_keep_their_numbers(data):
    first, second = (
        trainer_of(data, candidates(lambda: two_layer(64, 20), [rate]), observer=PopulationObserver(2))
        for rate in (1e-2, 3e-2)
    )
    next(first.epochs())
    next(second.epochs())
    first.observer.take()
    assert first.absorb(second) == [1]
    list(first.epochs())
    looks = first.observer.take()
    assert {member: seen[-1].sample.rates for member, seen in looks.items()} == {0: (1e-2,), 1: (3e-2,)}


def test_what_goes_wrong_inside_reaches_nobody(data, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("out of order")

    monkeypatch.setattr(ShadowModel, "observe", broken)
    observer = PopulationObserver()
    trainer = trainer_of(data, candidates(lambda: two_layer(64, 20), [1e-2]), observer=observer)
    list(trainer.epochs())
    assert trainer.runs()[0].state is State.COMPLETE
    assert observer.take() == {}
    assert observer.guard.failures == 3  # the samples at steps 1, 3, 9 of 30
    assert observer.guard.first == "RuntimeError: out of order"


def test_details_are_histograms_and_the_first_layer(data):
    observer = PopulationObserver(2, detailed=True)
    list(trainer_of(data, candidates(with_everything, [1e-2]), observer=observer, epochs=1).epochs())
    looks = observer.take()[0]
    detailed = [look for look in looks if look.histograms]
    assert [look.sample.step for look in detailed] == [look.sample.step for look in looks[::4]]
    names = [histogram.name for histogram in detailed[0].histograms]
    assert names[:3] == ["activations/0", "activations/1", "activations/2"]
    assert "gradients/0.weight" in names
    assert "gradients/0.bias" not in names
    for histogram in detailed[0].histograms:
        assert len(histogram.edges) == len(histogram.counts) + 1
        assert (np.diff(histogram.edges) > 0).all()
    weights = {histogram.name: histogram for histogram in detailed[0].histograms}["gradients/0.weight"]
    assert weights.counts.sum() == 4 * 9
    (snapshot,) = detailed[0].snapshots
    assert (snapshot.name, snapshot.values.shape, snapshot.values.dtype) == (
        "0.weight",
        (4, 1, 3, 3),
        "float16",
    )
    with seeded(0, "member", 0):
        first = with_everything()[0].weight.detach().numpy()
    np.testing.assert_allclose(snapshot.values, first, atol=1e-3)


def test_a_series_has_no_point_where_there_is_no_number(data):
    observer = PopulationObserver(4)
    list(trainer_of(data, candidates(with_everything, [1e-2]), observer=observer, epochs=1).epochs())
    details = MemberTrace("momentum").add(observer.take()[0])
    assert {name for name in details.series if name.startswith("layers/6/")} == {
        "layers/6/mean",
        "layers/6/std",
        "layers/6/saturated",
    }
    assert "layers/5.bias/update_ratio" not in details.series
    for steps, values in details.series.values():
        assert len(steps) == len(values) > 0
        assert all(map(math.isfinite, values))

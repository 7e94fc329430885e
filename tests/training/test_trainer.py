"""Member k of a population equals the same candidate trained alone, on every path."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.data.batches import Batches
from babysit.data.sources import digits
from babysit.nn.networks import mlp, two_layer
from babysit.records import State
from babysit.seeding import seeded
from babysit.training.checkpoint import load_checkpoint, save_checkpoint
from babysit.training.evaluation import evaluation_of
from babysit.training.losses import LOSSES
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Candidate, Plan, Trainer
from babysit.training.updates import UPDATES
from reference.serial_training import Accounted, DataDependent, train_alone


@pytest.fixture(scope="module")
def data():
    return digits()


def residual():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), Accounted(16), nn.Dropout(0.2), nn.Linear(16, 10))


def branching():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), DataDependent(16), nn.ReLU(), nn.Linear(16, 10))


def convolutional():
    return nn.Sequential(
        # 16 channels a member: torch sums the channels beyond the last full vector in another order, so with
        # fewer, who stands beside a member could show in its last bit.
        nn.Conv2d(1, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(144, 10),
    )


MODELS = {
    "fused": lambda: mlp(64, [20, 15], 10, dropout=0.3),
    "vmap": residual,
    "serial": branching,
}


def candidates(make, count, **rates):
    made = []
    for index in range(count):
        with seeded(0, "member", index):
            own = {name: values[index] for name, values in rates.items()}
            made.append(Candidate(make(), own, key=1000 + index))
    return made


def plan(epochs=2, update="momentum", schedule="multiplicative", **options):
    return Plan(LOSSES["softmax"], UPDATES[update], SCHEDULES[schedule], epochs, **options)


class DoubleBatches(Batches):
    """The same mini-batches in float64."""

    def epoch(self, epoch):
        for x, y in super().epoch(epoch):
            yield x.double(), y


def trainer_of(data, members, the_plan, *, double=False, **options):
    batches = (DoubleBatches if double else Batches)(data, 100, seed=3)
    evaluation = evaluation_of(data, seed=3)
    if double:
        evaluation = evaluation._replace(train_x=evaluation.train_x.double(), val_x=evaluation.val_x.double())
    return Trainer(members, the_plan, batches, evaluation, **options)


def finish(trainer):
    costs = {member: [] for member in trainer.alive}
    for report in trainer.epochs():
        for member, values in report.costs.items():
            costs[member] += values.tolist()
    return costs


@pytest.mark.parametrize("way", MODELS)
def test_member_equals_the_same_candidate_trained_alone(data, way):
    rates = {
        "learning_rate": [1e-3, 3e-3, 5e-4],
        "l2": [0.0, 1e-2, 1e-1],
        "momentum": [0.9, 0.0, 0.5],
        "learning_rate_decay": [1.0, 0.5, 0.9],
    }
    members = candidates(MODELS[way], 3, **rates)
    trainer = trainer_of(data, members, plan(), way=way)
    assert trainer.lowering.kind == way
    costs = finish(trainer)
    for index, member in enumerate(members):
        twin, expected = train_alone(
            member.model,
            F.cross_entropy,
            trainer.batches,
            epochs=2,
            learning_rate=rates["learning_rate"][index],
            l2=rates["l2"][index],
            momentum=rates["momentum"][index],
            decay=rates["learning_rate_decay"][index],
            key=member.key,
        )
        np.testing.assert_allclose(costs[index], expected, rtol=2e-4)
        state = trainer.weights(index)
        for name, value in twin.state_dict().items():
            if name in state:
                torch.testing.assert_close(state[name], value, rtol=1e-3, atol=1e-5)


UPDATE_RATES = {
    "sgd": 1e-2,
    "momentum": 2e-3,
    "nesterov": 2e-3,
    "adagrad": 1e-2,
    "rmsprop": 1e-3,
    "adam": 1e-3,
    "adamw": 1e-3,
}


@pytest.mark.slow
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("make", [MODELS["fused"], residual, convolutional], ids=["mlp", "residual", "conv"])
def test_a_population_equals_populations_of_one_for_fifty_steps(data, make, update):
    """Fused together against the user's module called as it is, alone: costs within 1e-4.

    Training amplifies last bits, by how much depends on the processor: where float32 drifts further apart,
    float64 must make the difference vanish, or it is none of rounding.
    """
    worst = fifty_steps_apart(data, make, update)
    if worst > 1e-4:
        assert worst < 1e-2
        assert fifty_steps_apart(data, doubled(make), update, double=True) < 1e-9


def fifty_steps_apart(data, make, update, *, double=False):
    """The largest relative difference of a cost, of three members together and alone."""
    rates = {"learning_rate": [UPDATE_RATES[update] * k for k in (1, 0.5, 0.1)], "l2": [0.0, 1e-3, 1e-2]}
    members = candidates(make, 3, **rates)
    together = trainer_of(data, members, plan(5, update=update), double=double)
    assert together.lowering.kind == "fused"
    costs = {index: [] for index in range(3)}
    for report in together.epochs(steps=50):
        for index, values in report.costs.items():
            costs[index] += values.tolist()
    worst = 0.0
    for index, member in enumerate(members):
        alone = trainer_of(data, [member], plan(5, update=update), way="serial", double=double)
        expected = [cost for report in alone.epochs(steps=50) for cost in report.costs[0].tolist()]
        assert len(expected) == 50
        worst = max(worst, float(np.max(np.abs(np.array(costs[index]) / expected - 1))))
    return worst


def doubled(make):
    return lambda: make().double()


@pytest.mark.slow
@pytest.mark.parametrize("make", [MODELS["fused"], residual, convolutional], ids=["mlp", "residual", "conv"])
def test_in_float64_the_difference_is_that_of_rounding(make):
    source = digits()
    members = candidates(doubled(make), 3, learning_rate=[3e-3, 1e-3, 1e-2], l2=[0.0, 1e-3, 1e-2])
    runs = []
    for part, way in ((members, None), *(([member], "serial") for member in members)):
        trainer = trainer_of(source, part, plan(5), way=way, double=True)
        costs = {index: [] for index in trainer.alive}
        for step in trainer.epochs(steps=50):
            for index, values in step.costs.items():
                costs[index] += values.tolist()
        runs.append((trainer, costs))
    together, alone = runs[0], runs[1:]
    for index, (trainer, _) in enumerate(alone):
        for name, value in trainer.weights(0).items():
            torch.testing.assert_close(together[0].weights(index)[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("make", [MODELS["fused"], residual, convolutional], ids=["mlp", "residual", "conv"])
def test_a_member_of_nan_leaves_the_others_bit_identical(data, make):
    members = candidates(make, 3, learning_rate=[2e-3, 1e-3, 5e-4])
    broken = Candidate(make(), {"learning_rate": 1e-3}, key=members[1].key)
    with torch.no_grad():
        next(broken.model.parameters()).fill_(math.nan)
    fine = trainer_of(data, members, plan(2), keep_best=False)
    beside = trainer_of(data, [members[0], broken, members[2]], plan(2))
    finish(fine)
    finish(beside)
    assert beside.runs()[1].explosion.step == 1
    for index in (0, 2):
        assert fine.runs()[index].readings == beside.runs()[index].readings
        for name, value in fine.weights(index).items():
            assert torch.equal(beside.weights(index)[name], value), name


@pytest.mark.parametrize("way", MODELS)
def test_the_users_models_are_left_as_they_are(data, way):
    members = candidates(MODELS[way], 2, learning_rate=[1e-3, 1e-3])
    before = [{k: v.clone() for k, v in m.model.state_dict().items()} for m in members]
    finish(trainer_of(data, members, plan(1), way=way))
    for member, values in zip(members, before, strict=True):
        assert all(torch.equal(member.model.state_dict()[name], value) for name, value in values.items())


def test_training_leaves_the_global_random_state_alone(data):
    members = candidates(MODELS["serial"], 2, learning_rate=[1e-3, 1e-3])
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    finish(trainer_of(data, members, plan(1)))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_member_that_explodes_does_not_affect_the_others(data):
    make = MODELS["fused"]
    calm = candidates(make, 3, learning_rate=[1e-3, 1e-3, 2e-3])
    wild = [calm[0], Candidate(make(), {"learning_rate": 1e4}), calm[2]]
    alone, beside = trainer_of(data, [calm[0], calm[2]], plan()), trainer_of(data, wild, plan())
    finish(alone)
    finish(beside)
    assert beside.runs()[1].state is State.EXPLODED
    for mine, theirs in ((0, 0), (1, 2)):
        for name, value in alone.weights(mine).items():
            torch.testing.assert_close(beside.weights(theirs)[name], value, rtol=1e-4, atol=1e-6)


def test_explosion_stops_at_the_first_cost_beyond_three_times_the_first(data):
    trainer = trainer_of(data, candidates(lambda: two_layer(64), 1, learning_rate=[0.5]), plan())
    costs = finish(trainer)[0]
    run = trainer.runs()[0]
    assert run.state is State.EXPLODED
    assert run.best is None
    assert run.explosion.first_cost == pytest.approx(costs[0], rel=1e-6)
    assert run.explosion.step == len(costs) == run.steps
    assert not costs[-1] <= 3 * costs[0]
    assert all(cost <= 3 * costs[0] for cost in costs[:-1])


def test_a_nan_first_cost_explodes_at_step_one(data):
    model = two_layer(64)
    with torch.no_grad():
        model[1].weight[0, 0] = math.nan
    trainer = trainer_of(data, [Candidate(model, {"learning_rate": 1e-3})], plan())
    finish(trainer)
    assert trainer.runs()[0].explosion.step == 1


def test_the_first_printed_cost_is_the_one_before_any_update(data):
    model = two_layer(64)
    trainer = trainer_of(data, [Candidate(model, {"learning_rate": 1e-3, "l2": 0.7})], plan(1))
    x, y = next(iter(trainer.batches.epoch(1)))
    squares = sum(float((w.detach().double() ** 2).sum()) for w in (model[1].weight, model[3].weight))
    expected = F.cross_entropy(model(x), y).item() + 0.5 * 0.7 * squares
    assert finish(trainer)[0][0] == pytest.approx(expected, rel=1e-5)


def test_accuracies_are_measured_after_the_epoch_in_eval_mode(data):
    members = candidates(MODELS["vmap"], 1, learning_rate=[3e-3])
    trainer = trainer_of(data, members, plan(1))
    (report,) = list(trainer.epochs())
    model = residual()
    model.load_state_dict(trainer.weights(0))
    evaluation = trainer.evaluation
    hits = (model.eval()(evaluation.val_x).argmax(1) == evaluation.val_y).double().mean().item()
    assert report.readings[0].val_accuracy == pytest.approx(hits, abs=1e-9)


def test_best_validation_weights_are_kept(data):
    members = candidates(lambda: two_layer(64), 2, learning_rate=[1e-2, 1e-3])
    trainer = trainer_of(data, members, plan(6), keep_best=True)
    finish(trainer)
    for index in range(2):
        model = two_layer(64)
        model.load_state_dict(trainer.weights(index))
        evaluation = trainer.evaluation
        hits = (model(evaluation.val_x).argmax(1) == evaluation.val_y).double().mean().item()
        assert hits == pytest.approx(trainer.runs()[index].best.val_accuracy, abs=1e-9)


def test_dropped_members_stop_and_the_rest_train_on(data):
    members = candidates(lambda: two_layer(64), 3, learning_rate=[1e-3, 1e-3, 1e-3])
    trainer = trainer_of(data, members, plan(3))
    for report in trainer.epochs():
        if report.epoch == 1:
            trainer.drop([1], State.PRUNED)
    assert [run.state for run in trainer.runs()] == [State.COMPLETE, State.PRUNED, State.COMPLETE]
    assert [len(run.readings) for run in trainer.runs()] == [3, 1, 3]


@pytest.mark.parametrize("way", MODELS)
def test_absorbed_members_train_as_without_absorption(data, way):
    members = candidates(MODELS[way], 5, learning_rate=[1e-3, 1e4, 2e-3, 1e4, 5e-4], l2=[0.0, 0, 0.1, 0, 0.2])
    apart = [trainer_of(data, part, plan(4), keep_best=True, way=way) for part in (members[:3], members[3:])]
    for trainer in apart:
        stopped = trainer.epochs()
        next(stopped), next(stopped)
    assert apart[0].absorb(apart[1]) == [3, 4]
    finish(apart[0])
    whole = trainer_of(data, members, plan(4), keep_best=True, way=way)
    finish(whole)
    for mine, expected in zip(apart[0].runs(), whole.runs(), strict=True):
        assert mine.state is expected.state
        assert len(mine.readings) == len(expected.readings)
        if mine.readings:
            assert mine.readings[-1].val_loss == pytest.approx(expected.readings[-1].val_loss, rel=1e-4)
    for index in (0, 2, 4):
        for name, value in whole.weights(index).items():
            torch.testing.assert_close(apart[0].weights(index)[name], value, rtol=1e-3, atol=1e-5)


def test_judging_every_few_steps_finds_the_same_explosions(data, monkeypatch):
    """What an accelerator does, so as not to wait for every step."""
    members = candidates(lambda: two_layer(64), 4, learning_rate=[1e-3, 0.3, 1e4, 0.05])
    often = trainer_of(data, members, plan(3))
    expected = finish(often)
    monkeypatch.setattr("babysit.training.trainer._steps_between_judgements", lambda device: 5)
    rarely = trainer_of(data, members, plan(3))
    found = finish(rarely)
    assert [run.explosion for run in rarely.runs()] == [run.explosion for run in often.runs()]
    assert {run.state for run in rarely.runs()} == {State.COMPLETE, State.EXPLODED}
    assert found == expected


@pytest.mark.parametrize("update", ["momentum", "adam", "adagrad"])
@pytest.mark.parametrize("way", ["fused", "vmap"])
def test_a_checkpoint_resumes_bit_for_bit(data, way, update, tmp_path):
    def fresh():
        members = candidates(MODELS[way], 3, learning_rate=[1e-3, 1e4, 2e-3])
        return trainer_of(data, members, plan(4, update=update), keep_best=True, way=way)

    whole, first, second = fresh(), fresh(), fresh()
    finish(whole)
    stopped = first.epochs()
    next(stopped), next(stopped)
    save_checkpoint(tmp_path / "c.safetensors", *first.snapshot())
    second.restore(*load_checkpoint(tmp_path / "c.safetensors"))
    finish(second)
    for expected, found in zip(whole.runs(), second.runs(), strict=True):
        assert (found.state, found.readings, found.first_cost) == (
            expected.state,
            expected.readings,
            expected.first_cost,
        )
    for name, value in whole.population.parameters.items():
        assert torch.equal(second.population.parameters[name], value)
    for index in (0, 2):
        assert all(torch.equal(second.weights(index)[n], v) for n, v in whole.weights(index).items())


def test_a_frozen_layer_stays_and_a_tied_one_trains_once(data):
    model = two_layer(64)
    model[1].requires_grad_(False)
    trainer = trainer_of(data, [Candidate(model, {"learning_rate": 1e-2})], plan(1))
    finish(trainer)
    state = trainer.weights(0)
    assert torch.equal(state["1.weight"], model[1].weight)
    assert not torch.equal(state["3.weight"], model[3].weight)


def test_a_layer_without_gradient_is_no_error(data):
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(64, 10), nn.Linear(4, 4)

        def forward(self, x):
            return self.used(x.flatten(1))

    model = Spare()
    trainer = trainer_of(data, [Candidate(model, {"learning_rate": 1e-2})], plan(1))
    finish(trainer)
    assert torch.equal(trainer.weights(0)["unused.weight"], model.unused.weight)


def test_one_step_of_plain_gradient_descent(data):
    model = two_layer(64)
    trainer = trainer_of(
        data, [Candidate(model, {"learning_rate": 1e-2})], plan(1, update="sgd", schedule="constant")
    )
    x, y = next(iter(trainer.batches.epoch(1)))
    F.cross_entropy(model(x), y).backward()
    list(trainer.epochs(steps=1))
    expected = model[1].weight - 1e-2 * model[1].weight.grad
    torch.testing.assert_close(trainer.weights(0)["1.weight"], expected, rtol=1e-6, atol=1e-8)

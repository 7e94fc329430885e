"""Folds as members of one population equal each fold trained alone on the examples it keeps."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from babysit.data.batches import Batches, evaluation_tensors
from babysit.data.dataset import Split
from babysit.data.folds import folds
from babysit.data.sources import arrays, digits
from babysit.errors import InputError
from babysit.nn.networks import mlp, two_layer
from babysit.records import State, score
from babysit.seeding import seeded
from babysit.training.evaluation import evaluation_of, measure, measure_folds
from babysit.training.folds import FoldTrainer
from babysit.training.losses import LOSSES, weighted_mean
from babysit.training.plan import FoldRows
from babysit.training.schedules import SCHEDULES
from babysit.training.trainer import Candidate, Plan, Trainer
from babysit.training.updates import UPDATES
from reference.folds_alone import train_without_fold

X = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)


def rows_of(found):
    sample = found.dataset.sample(Split(found.fold_of[:, None], found.fold_of), 1000, 0).y
    return FoldRows(found.fold_of, sample)


def made(data, candidates, count=3, epochs=2, loss="softmax", update="sgd", way=None, batch_size=30):
    found = folds(data, count, seed=1)
    plan = Plan(LOSSES[loss], UPDATES[update], SCHEDULES["constant"], epochs=epochs)
    batches, evaluation = Batches(found.dataset, batch_size, seed=2), evaluation_of(found.dataset, seed=0)

    def make(members):
        return Trainer(members, plan, batches, evaluation, keep_best=False, way=way, folds=rows_of(found))

    return FoldTrainer(candidates, count, make), make, found, batches


def nets(rates, model=lambda: two_layer(64, 8)):
    found = []
    for number, rate in enumerate(rates):
        with seeded(0, "net", number):
            found.append(Candidate(model(), {"learning_rate": rate, "l2": 0.1}, number))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fused", "vmap", "serial"])
def test_a_fold_equals_training_alone_on_the_others(way):
    candidates = nets((0.003, 0.01))
    _, make, found, batches = made(digits(), candidates, way=way)
    members = [one._replace(fold=fold) for one in candidates for fold in range(3)]
    trainer = make(members)
    reports = list(trainer.epochs())
    x, y = evaluation_tensors(found.dataset, found.dataset.train)
    for index, member in enumerate(members):
        model, costs = train_without_fold(
            member.model,
            F.cross_entropy,
            batches,
            found.fold_of,
            member.fold,
            epochs=2,
            learning_rate=member.hyperparameters["learning_rate"],
            l2=0.1,
        )
        costs_of_all_epochs = np.concatenate([report.costs[index] for report in reports])
        assert np.allclose(costs_of_all_epochs, costs, rtol=1e-4)
        for name, value in trainer.weights(index).items():
            assert torch.allclose(value, model.state_dict()[name], atol=1e-5)
        held = torch.from_numpy(found.fold_of == member.fold)
        outputs = model.eval()(x[held]).detach()
        reading = reports[-1].readings[index]
        assert reading.val_accuracy == pytest.approx(
            (outputs.argmax(1) == y[held]).double().mean().item(), abs=3e-3
        )
        assert reading.val_loss == pytest.approx(F.cross_entropy(outputs, y[held]).item(), rel=1e-4)


def test_a_regressions_folds_equal_training_alone():
    with seeded(0, "net"):
        candidates = [Candidate(nn.Linear(6, 1), {"learning_rate": 0.05})]
    data = arrays(X[:70], X[:70].sum(1), X[70:], X[70:].sum(1))
    _, make, found, batches = made(data, candidates, loss="mse")
    trainer = make([candidates[0]._replace(fold=fold) for fold in range(3)])
    readings = list(trainer.epochs())[-1].readings
    x, y = evaluation_tensors(found.dataset, found.dataset.train)
    for fold in range(3):
        model, _ = train_without_fold(
            candidates[0].model,
            lambda out, y: F.mse_loss(out.squeeze(1), y),
            batches,
            found.fold_of,
            fold,
            epochs=2,
            learning_rate=0.05,
        )
        held = torch.from_numpy(found.fold_of == fold)
        assert readings[fold].val_loss == pytest.approx(
            F.mse_loss(model(x[held]).squeeze(1), y[held]).item(), rel=1e-4
        )
        assert math.isnan(readings[fold].val_accuracy)


def test_a_held_out_example_leaves_no_trace_whatever_it_holds():
    losses = torch.tensor([[1.0, math.inf, 3.0], [1.0, 2.0, 3.0]])
    weights = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert weighted_mean(losses, weights).tolist() == [2.0, 0.0]


def test_a_trial_is_the_mean_of_its_folds():
    trainer, make, _, _ = made(digits(), nets((0.003, 0.01)))
    reports = list(trainer.epochs())
    alone = make([one._replace(fold=fold) for one in nets((0.003, 0.01)) for fold in range(3)])
    inner = list(alone.epochs())
    for trial, run in enumerate(trainer.runs()):
        places = [3 * trial + fold for fold in range(3)]
        for report, theirs, reading in zip(reports, inner, run.readings, strict=True):
            assert report.readings[trial] == reading
            mean = np.mean([theirs.readings[place].val_accuracy for place in places])
            assert reading.val_accuracy == pytest.approx(mean, rel=1e-9)
            assert np.allclose(report.costs[trial], np.mean([theirs.costs[place] for place in places], 0))
        best = max(range(2), key=lambda epoch: score(run.readings[epoch]))
        assert run.folds == tuple(inner[best].readings[place].val_accuracy for place in places)
        assert run.state is State.COMPLETE
        assert run.steps == 2 * len(reports[0].costs[trial])


def test_a_trial_explodes_as_a_whole_and_the_others_train_on_undisturbed():
    trainer, *_ = made(digits(), nets((0.003, 1e3, 0.01)))
    (first, *_) = reports = list(trainer.epochs())
    assert list(first.exploded) == [1]
    assert len(first.costs[1]) == first.exploded[1].step
    runs = trainer.runs()
    assert [run.state for run in runs] == [State.COMPLETE, State.EXPLODED, State.COMPLETE]
    assert runs[1].folds == ()
    assert runs[1].best is None
    quiet, *_ = made(digits(), nets((0.003, 5.0, 0.01))[::2])
    list(quiet.epochs())
    for found, expected in zip((runs[0], runs[2]), quiet.runs(), strict=True):
        assert found.best.val_accuracy == pytest.approx(expected.best.val_accuracy, abs=2e-3)
    assert sorted(reports[-1].readings) == [0, 2]


def test_populations_of_folds_merge_without_a_difference():
    together, *_ = made(digits(), nets((0.003, 0.01)))
    both = list(together.epochs())[-1]
    one, *_ = made(digits(), nets((0.003, 0.01))[:1])
    two, *_ = made(digits(), nets((0.003, 0.01))[1:])
    next(one.epochs())
    next(two.epochs())
    assert one.absorb(two) == [1]
    last = list(one.epochs())[-1]
    for trial in range(2):
        assert last.readings[trial].val_loss == pytest.approx(both.readings[trial].val_loss, rel=1e-4)
        assert one.runs()[trial].folds == pytest.approx(together.runs()[trial].folds, abs=3e-3)


def test_a_dropped_trial_takes_its_folds_along():
    trainer, *_ = made(digits(), nets((0.003, 0.01)))
    next(trainer.epochs())
    trainer.drop([0], State.PRUNED)
    assert trainer.alive == [1]
    (last,) = trainer.epochs()
    assert list(last.readings) == [1]
    assert [run.state for run in trainer.runs()] == [State.PRUNED, State.COMPLETE]
    assert len(trainer.runs()[0].readings) == 1


def test_a_member_is_measured_on_the_rows_of_its_own_fold_alone():
    trainer, _, found, _ = made(digits(), nets((0.003, 0.01)))
    inner = trainer._inner
    inner.population.template.eval()
    x, y = inner.evaluation.val_x, inner.evaluation.val_y
    same = (inner.population, inner._forward, LOSSES["softmax"])
    fold_of = torch.from_numpy(found.fold_of)
    fold = torch.tensor([0, 1, 2, 0, 1, 2])
    score = measure_folds(*same, x, y, fold, lambda held: fold_of == held)
    for held in range(3):
        everyone = measure(*same, x[fold_of == held], y[fold_of == held])
        for member in (held, 3 + held):
            assert score.accuracy[member] == pytest.approx(everyone.accuracy[member], abs=3e-3)
            assert score.loss[member] == pytest.approx(everyone.loss[member], rel=1e-5)


def test_batch_normalization_is_refused():
    candidates = nets((0.01,), lambda: mlp(64, [8], 10, batch_norm=True))
    with pytest.raises(InputError, match="mixes the examples of a batch"):
        made(digits(), candidates)

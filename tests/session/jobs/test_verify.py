"""`verify` on models that keep the promise of a population, and on models that cannot."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn

import babysit as bs
from babysit.errors import InputError, RecipeError
from babysit.nn.networks import mlp
from babysit.recipe.loading import load_recipe
from babysit.session.jobs.job import open_recipe
from babysit.session.jobs.verify import ALONE, _members, _Population, compare_ranking, verify
from reference.serial_training import Accounted, DataDependent


def data():
    return bs.data.digits(preprocess=[bs.data.MeanImage()])


def recipe(model, **changes):
    space = {"learning_rate": bs.log_uniform(1e-4, 1e-2), "l2": bs.log_uniform(1e-5, 1e-2)}
    options = {"update": "momentum", "batch_size": 50, "epochs": 2, **changes}
    return bs.Recipe(data, model, space={**space, **options.pop("space", {})}, **options)


def convolutional(hp):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(54, 10),
    )


class Refused(nn.Module):
    """Draws from torch's global stream, which vmap refuses and a member alone draws from its own key."""

    def forward(self, x):
        return x + 0.01 * torch.randn(x.shape) if self.training else x


GOOD = {
    "a two-layer network": lambda hp: bs.nn.two_layer(64, 20),
    "dropout": lambda hp: mlp(64, [20, 15], 10, dropout=0.3),
    "batch norm in a block of its own": lambda hp: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), Accounted(16), nn.Dropout(0.2), nn.Linear(16, 10)
    ),
    "convolution, batch norm, dropout": convolutional,
    "what vmap refuses": lambda hp: nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), DataDependent(16), nn.Linear(16, 10)
    ),
    "random layers of its own": lambda hp: nn.Sequential(nn.Flatten(), Refused(), nn.Linear(64, 10)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_members_of_a_population_train_as_they_would_alone(name):
    found = verify(recipe(GOOD[name]), members=3, steps=40)
    assert found.verdict == "equal to float tolerance"
    assert found.equal
    assert found.loss < 1e-4
    assert found.way in ("fused", "vmap", "serial")
    assert found.reason
    assert len(found.members) == 3
    assert found.tensors
    assert found.tensors[0].relative < 1e-2
    assert found.ranking is None


def test_every_update_rule_and_a_vector_of_dropout_rates():
    made = recipe(
        lambda hp: mlp(64, [20], 10, dropout=hp.dropout), update="adam", space={"dropout": bs.uniform(0, 0.5)}
    )
    found = verify(made, members=3, steps=30)
    assert found.equal
    assert len({member.hyperparameters["dropout"] for member in found.members}) == 3


def test_members_that_explode_do_so_at_the_same_step():
    made = recipe(GOOD["a two-layer network"], space={"learning_rate": bs.log_uniform(1e-4, 1e4)})
    found = verify(made, members=6, steps=30)
    exploded = [member.explosions for member in found.members if member.explosions[0] is not None]
    assert exploded
    assert len(exploded) < 6
    assert all(together == alone for together, alone in exploded)
    assert found.equal


def test_members_differ_in_what_is_drawn_and_share_what_shapes_the_network():
    made = recipe(lambda hp: bs.nn.two_layer(64, hp.hidden), space={"hidden": bs.choice(10, 20, 30)})
    prepared = open_recipe(made, seed=0)
    members, populations = _members(prepared, 4)
    assert populations == [[0, 1, 2, 3]]
    assert {member.hyperparameters["hidden"] for member in members} == {10}
    assert len({member.hyperparameters["learning_rate"] for member in members}) == 4


def test_a_real_number_that_shapes_the_network_is_held_fixed():
    made = recipe(lambda hp: bs.nn.two_layer(64, round(hp.width)), space={"width": bs.uniform(5.0, 50.0)})
    members, populations = _members(open_recipe(made, seed=0), 3)
    assert len(populations) == 1
    assert len({member.hyperparameters["width"] for member in members}) == 1


def test_models_that_cannot_share_a_population_are_compared_one_by_one():
    class Own:
        """An object that compares by identity."""

    def model(hp):
        net = bs.nn.two_layer(64, 10)
        net.own = Own()
        return net

    found = verify(recipe(model), members=3, steps=10)
    assert found.populations == 3
    assert found.equal


class OwnState(nn.Module):
    """Counts every call of every model of this class."""

    calls = count()

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, x):
        return self.inner(x.flatten(1)) * (1 + 0.1 * (next(OwnState.calls) % 7))


class SharedState(nn.Module):
    """Counts its own calls on itself: P members that share one module count P times as fast."""

    def __init__(self):
        super().__init__()
        self.inner = DataDependent(64)  # which vmap refuses
        self.out = nn.Linear(64, 10)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.out(self.inner(x.flatten(1))) / (1 + 0.01 * self.calls)


class Elsewhere(nn.Module):
    """Draws random numbers from NumPy's global stream."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, x):
        return self.inner(x.flatten(1)) * (1 + np.random.rand())


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (OwnState, "trained alone twice it differs from itself"),
        (Elsewhere, "random numbers from elsewhere than torch"),
        (SharedState, "alone it repeats itself, so its members are not independent"),
    ],
)
def test_models_that_are_not_equal_are_told_apart_with_the_cause(module, words):
    found = verify(recipe(lambda hp: module()), members=3, steps=10)
    assert not found.equal
    assert found.verdict.startswith("NOT equal: member ")
    assert words in found.verdict
    assert found.loss > found.tolerance


def test_float64_tells_a_fault_from_rounding():
    found = verify(recipe(lambda hp: SharedState()), members=2, steps=10)
    assert found.members[0].exact > 1e-3
    prepared = open_recipe(recipe(GOOD["convolution, batch norm, dropout"]), seed=0)
    population = _Population(prepared, _members(prepared, 2)[0], 10)
    trace = population._traces[1]
    population._traces[1] = off(trace, 1.01, first=3)  # as if training had amplified rounding that far
    agreement = population.compare(1).agreement
    assert (agreement.equal, agreement.loss) == (True, pytest.approx(0.01, rel=1e-2))
    assert agreement.exact < 1e-6
    assert agreement.cause == "rounding, amplified by its own training; in float64 the two agree"
    population._traces[1] = off(trace, 1.01)  # there at the first step, when nothing was trained yet
    agreement = population.compare(1).agreement
    assert not agreement.equal
    assert "this way of computing loses digits" in agreement.cause


class Float32Only(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def forward(self, x):
        if x.dtype is not torch.float32:
            raise TypeError("float32 or nothing")
        return self.inner(x.flatten(1))


@pytest.mark.parametrize(("factor", "equal"), [(1.01, False), (1 + 2e-4, False), (1 + 5e-5, True)])
def test_a_model_that_cannot_run_in_float64_is_nudged(factor, equal):
    prepared = open_recipe(recipe(lambda hp: Float32Only()), seed=0)
    population = _Population(prepared, _members(prepared, 2)[0], 10)
    population._traces[0] = off(population._traces[0], factor)
    agreement = population.compare(0).agreement
    assert agreement.equal is equal
    assert math.isnan(agreement.exact)
    assert equal or 0 < agreement.growth < 1e-4


def off(trace, factor, first=0):
    return replace(trace, costs=np.concatenate([trace.costs[:first], trace.costs[first:] * factor]))


def test_the_alone_way_calls_the_users_own_module():
    prepared = open_recipe(load_recipe("digits"), seed=0)
    member = _members(prepared, 2)[0][0]
    assert prepared.trainer_of([member], 1, way=ALONE).lowering.kind == "serial"
    assert prepared.trainer_of([member], 1).lowering.kind == "fused"


def test_another_precision_is_compared_by_how_it_ranks():
    found = verify(load_recipe("digits"), members=2, steps=5, precision="bfloat16", trials=8)
    ranking = found.ranking
    assert ranking is not None
    assert (ranking.precision, ranking.trials, ranking.epochs) == ("bfloat16", 8, 1)
    assert ranking.correlation > 0.8
    assert 0 < ranking.mean_loss <= ranking.largest_loss < 1
    assert found.remark
    assert found.equal, "the members are compared in float32, whatever the precision"


def test_the_same_precision_ranks_alike():
    ranking = compare_ranking(open_recipe(load_recipe("digits"), seed=0), trials=5)
    assert ranking.correlation == pytest.approx(1)
    assert ranking.largest_loss == 0
    assert ranking.same_best
    assert ranking.best[0] == ranking.best[1]


def test_where_every_trial_explodes_there_is_no_ranking():
    made = recipe(GOOD["a two-layer network"], space={"learning_rate": 1e7})
    ranking = compare_ranking(open_recipe(made, seed=0), trials=3)
    assert math.isnan(ranking.correlation)
    assert math.isnan(ranking.largest_loss)
    assert (ranking.best, ranking.same_best, ranking.exploded) == ((None, None), False, (3, 3))


def test_what_the_model_raises_in_training_names_the_line():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(64, 10)

        def forward(self, x):
            if self.training:
                raise ValueError("not in training")
            return self.inner(x.flatten(1))

    with pytest.raises(RecipeError, match=r"ValueError at .*test_verify.py:\d+: not in training"):
        verify(recipe(lambda hp: Fails()), members=2, steps=3)


@pytest.mark.parametrize("numbers", [{"members": 1}, {"steps": 0}, {"trials": 2}])
def test_too_few_of_anything_is_refused(numbers):
    with pytest.raises(InputError, match="too few to compare"):
        verify("digits", **numbers)


def test_python_takes_a_recipe_its_name_and_settings():
    assert bs.verify is verify
    assert verify("digits", ["hidden=5", "learning_rate=1e-3"], members=2, steps=2).equal

"""Every sampler gives trials of the space; grids cover, Sobol points are even, Optuna's learn."""

from __future__ import annotations

import math
import sys
from collections import Counter
from importlib.util import find_spec

import pytest

from babysit.errors import InputError, SpaceError
from babysit.recipe.space import (
    Fixed,
    Numeric,
    choice,
    existing,
    integer,
    log_uniform,
    uniform,
    when,
)
from babysit.records import Reading, Result, Run, State
from babysit.tuning.samplers import grid, quasi_random, sampler_of
from babysit.tuning.settings import SAMPLERS
from babysit.tuning.stages import draw_trials

optuna = pytest.importorskip("optuna")
needs_cmaes = pytest.mark.skipif(find_spec("cmaes") is None, reason="cmaes is not installed")
LEARNING = ["tpe", "gp", pytest.param("cmaes", marks=needs_cmaes)]
EVERY = [name for name in SAMPLERS if name not in ("tpe", "gp", "cmaes")] + LEARNING
BOX = {
    "learning_rate": log_uniform(1e-6, 1),
    "l2": log_uniform(1e-5, 1e2),
    "hidden": integer(10, 200, log=True),
}
CONDITIONAL = {
    "momentum": when("update", "momentum", uniform(0.5, 0.99)),
    "update": choice("sgd", "momentum", "adam"),
    "beta2": when("update", "adam", choice(0.99, 0.999)),
    "width": integer(32, 256, step=32),
    "dropout": uniform(0, 0.6, step=0.1),
    "depth": Fixed(2),
    "learning_rate": log_uniform(1e-4, 1e-1),
}


def asked(name, space=BOX, count=12, seed=3, size=6, score=lambda hp: 0.5, state=State.COMPLETE, **options):
    """The results of a whole stage, each trial's score a function of its hyperparameters."""
    sampler = sampler_of(name, space, stage=0, count=count, seed=seed, round_size=size, **options)
    found = []
    for first in range(0, sampler.count, size):
        trials = sampler.ask(first, min(size, sampler.count - first))
        results = [result_of(trial, score(trial.hyperparameters), state) for trial in trials]
        sampler.tell(results)
        found += results
    return found


def result_of(trial, accuracy, state=State.COMPLETE):
    readings = () if state is State.FAILED else (Reading(1, 10, 1.0, accuracy, accuracy, 0.1, 1.0),)
    return Result(trial, Run(state if accuracy >= 0 else State.EXPLODED, readings))


def points(results):
    return [dict(result.trial.hyperparameters) for result in results]


def test_random_trials_are_those_of_before():
    assert sampler_of("random", BOX, stage=1, count=9, seed=4).ask(0, 9) == draw_trials(
        BOX, stage=1, count=9, seed=4
    )


@pytest.mark.parametrize("name", EVERY)
def test_every_trial_lies_in_the_space_and_has_the_names_that_exist(name):
    results = asked(name, CONDITIONAL, count=14)
    assert [result.trial.key for result in results] == [(0, number) for number in range(len(results))]
    for hp in points(results):
        assert set(hp) == set(
            existing(CONDITIONAL, {k: hp.get(k, v.middle()) for k, v in CONDITIONAL.items()})
        )
        assert list(hp) == [key for key in CONDITIONAL if key in hp]
        for key, value in hp.items():
            assert CONDITIONAL[key].holds(value), (key, value)
        assert hp["width"] % 32 == 0
        assert isinstance(hp["width"], int)
        assert hp["dropout"] in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    assert len({hp["update"] for hp in points(results)}) > 1


@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_asks_the_same_and_another_does_not(name):
    def score(hp):
        return 1 / (1 + hp["learning_rate"])

    assert points(asked(name, score=score)) == points(asked(name, score=score))
    assert points(asked(name, score=score)) != points(asked(name, score=score, seed=4))


@pytest.mark.parametrize("name", EVERY)
def test_enqueued_points_come_first(name):
    enqueue = [{"learning_rate": 0.25, "hidden": 77, "l2": 0.5}, {"learning_rate": 0.125}]
    found = points(asked(name, enqueue=enqueue))
    assert found[0] == enqueue[0]
    assert found[1]["learning_rate"] == 0.125
    assert 1e-5 <= found[1]["l2"] <= 1e2
    assert found[2]["learning_rate"] not in (0.25, 0.125)


def test_a_grid_is_full_and_has_both_bounds():
    found = grid({**BOX, "act": choice("relu", "tanh")}, 100, stage=0, seed=0)
    values = {name: sorted({point[name] for point in found}) for name in found[0]}
    assert len(found) == math.prod(map(len, values.values()))
    assert len({tuple(point.items()) for point in found}) == len(found)
    for name, box in BOX.items():
        assert values[name][0] == box.low
        assert values[name][-1] == box.high
        gaps = [
            box.position(b) - box.position(a) for a, b in zip(values[name], values[name][1:], strict=False)
        ]
        assert max(gaps) == pytest.approx(min(gaps), abs=0.02)  # hidden is whole


@pytest.mark.parametrize("budget", [1, 2, 7, 30, 64, 65])
def test_a_grid_is_the_finest_that_fits(budget):
    found = grid(BOX, budget, stage=0, seed=0)
    counts = {name: len({point[name] for point in found}) for name in BOX}
    assert len(found) == math.prod(counts.values()) <= budget
    assert max(counts.values()) - min(counts.values()) <= 2
    for name in BOX:
        assert math.prod({**counts, name: counts[name] + 1}.values()) > budget


def test_a_grid_is_shuffled_by_the_seed():
    first, second = (grid(BOX, 27, stage=0, seed=seed) for seed in (0, 1))
    assert first != second
    assert Counter(map(str, first)) == Counter(map(str, second))


def test_a_grid_of_few_values_leaves_trials_over():
    found = sampler_of("grid", {"n": integer(1, 3)}, stage=0, count=50, seed=0)
    assert found.count == 3
    assert sorted(trial.hyperparameters["n"] for trial in found.ask(0, 3)) == [1, 2, 3]


def test_a_grid_holds_what_does_not_exist_once():
    space = {"act": choice("relu", "elu"), "slope": when("act", "elu", uniform(0, 1))}
    found = grid(space, 6, stage=0, seed=0)
    assert found.count({"act": "relu"}) == 1
    assert sorted(p["slope"] for p in found if "slope" in p) == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_grid_that_cannot_fit_is_refused():
    with pytest.raises(SpaceError, match="more than 5 combinations"):
        grid({"a": choice(1, 2, 3), "b": choice(1, 2)}, 5, stage=0, seed=0)


def test_sobol_points_are_even_in_every_range():
    found = quasi_random(BOX | {"act": choice("a", "b", "c", "d")}, 32, stage=0, seed=5)
    for name in ("learning_rate", "l2"):
        strata = [int(32 * BOX[name].position(point[name])) for point in found]
        assert sorted(strata) == list(range(32))
    assert set(Counter(point["act"] for point in found).values()) == {8}


def test_sobol_trial_n_does_not_depend_on_the_count():
    assert quasi_random(BOX, 40, stage=0, seed=5)[:7] == quasi_random(BOX, 7, stage=0, seed=5)
    assert quasi_random(BOX, 7, stage=0, seed=5) != quasi_random(BOX, 7, stage=1, seed=5)


def test_a_fixed_space_is_one_point_for_everyone():
    space = {"n": Fixed(2)}
    for name in SAMPLERS[:4]:
        assert {str(point) for point in points(asked(name, space, count=3))} == {"{'n': 2}"}


def bowl(hp):
    """Best at 1e-3, 1e-2 and 80."""
    rate, l2 = math.log10(hp["learning_rate"]) + 3, math.log10(hp["l2"]) + 2
    return 1 - 0.02 * (rate**2 + l2**2 + math.log(hp["hidden"] / 80) ** 2)


@pytest.mark.parametrize("name", ["tpe", LEARNING[-1]])
def test_a_sampler_that_learns_beats_random(name):
    def best(sampler):
        return sorted(
            max(result.score for result in asked(sampler, count=60, seed=seed, size=12, score=bowl))
            for seed in range(3)
        )

    learnt, drawn = best(name), best("random")
    assert learnt[1] > drawn[1]
    assert learnt[0] > drawn[0]


def test_a_gaussian_process_goes_where_the_score_is_high():
    space = {"learning_rate": BOX["learning_rate"]}
    found = asked("gp", space, count=20, size=5, score=lambda hp: bowl({"l2": 1e-2, "hidden": 80, **hp}))
    distances = [abs(math.log10(point["learning_rate"]) + 3) for point in points(found)]
    assert sum(distances[15:]) / 5 < sum(distances[:10]) / 10
    assert min(distances) < 0.1


def test_a_region_of_explosions_is_left():
    space = {"learning_rate": log_uniform(1e-6, 1)}
    found = asked("tpe", space, count=60, size=10, score=lambda hp: -1 if hp["learning_rate"] > 1e-3 else 0.5)
    late = [result.run.state for result in found[30:]]
    assert late.count(State.EXPLODED) < 0.4 * len(late)


@pytest.mark.parametrize("state", [State.FAILED, State.PRUNED, State.STOPPED, State.EXPLODED])
@pytest.mark.parametrize("name", EVERY)
def test_whatever_became_of_the_trials_there_are_more(name, state):
    assert len(asked(name, count=12, state=state)) in (8, 12)


def test_a_step_in_a_log_scale_is_kept():
    space = {"width": Numeric(16, 256, log=True, whole=True, step=16)}
    assert {point["width"] % 16 for point in points(asked("tpe", space))} == {0}


def test_optunas_voice_is_given_back():
    before = optuna.logging.get_verbosity()
    asked("tpe")
    assert optuna.logging.get_verbosity() == before


def test_an_unknown_sampler_is_refused():
    with pytest.raises(InputError, match="did you mean 'tpe'"):
        sampler_of("tep", BOX, stage=0, count=3, seed=0)


@pytest.mark.parametrize(("name", "package"), [("tpe", "optuna"), ("gp", "optuna"), ("cmaes", "cmaes")])
def test_a_package_that_is_not_there_is_named_with_the_fix(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"(?s)needs {package}.*pip install \"babysit\[optuna\]\""):
        sampler_of(name, BOX, stage=0, count=3, seed=0)

"""To Optuna and back: distributions, states, the scores of every epoch; and what is refused."""

from __future__ import annotations

import math
import sqlite3

import optuna
import pytest

from babysit.errors import InputError
from babysit.records import Explosion, Reading, Result, Run, Stage, State, Study, Trial
from babysit.session.exchange.optuna import export_to_optuna, import_from_optuna
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.views.data.study import StudyView, load_study_view
from babysit.views.html.report import render_report

NAN = math.nan
WIDE = {
    "learning_rate": {"kind": "log_uniform", "low": 1e-4, "high": 1e-1, "log": True},
    "hidden": {"kind": "integer", "low": 10, "high": 100, "log": False},
    "update": {"kind": "choice", "choices": ["sgd", "adam"]},
    "beta1": {"kind": "uniform", "low": 0.8, "high": 0.9, "log": False},
    "batch_size": {"kind": "fixed", "value": 50},
}
NARROW = {
    **WIDE,
    "learning_rate": {**WIDE["learning_rate"], "high": 0.5},
    "update": {"kind": "fixed", "value": "adam"},
}


def readings(*scores, loss=False):
    return tuple(
        Reading(epoch, 10 * epoch, 1.0, score, NAN if loss else score, 1e-3, score if loss else 1.0)
        for epoch, score in enumerate(scores, 1)
    )


def result(stage, number, run, **changed):
    choice = {"learning_rate": 1e-2, "hidden": 20, "update": "sgd", "batch_size": 50, **changed}
    return Result(Trial(stage, number, choice), run)


RESULTS = [
    result(0, 0, Run(State.COMPLETE, readings(0.3, 0.5, 0.4), 2.3, steps=30)),
    result(
        0, 1, Run(State.EXPLODED, readings(0.1), 2.3, Explosion(15, 2, NAN, 2.3), steps=15), learning_rate=0.1
    ),
    result(0, 2, Run(State.FAILED, message="no memory"), update="adam", beta1=0.85),
    result(0, 3, Run(State.PRUNED, readings(0.2), 2.3, steps=10)),
    result(0, 4, Run(State.STOPPED)),
    result(
        1, 0, Run(State.COMPLETE, readings(0.6), 2.3, steps=10), learning_rate=0.4, update="adam", beta1=0.9
    ),
]


def view_of(results=RESULTS):
    study = Study(7, "net", "net.py", "search", 3, "f", {}, State.COMPLETE, 0.0)
    return StudyView(
        study, stages=(Stage(0, "coarse", WIDE, 5, 3), Stage(1, "fine", NARROW, 1, 3)), results=results
    )


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path}/trials.db"


@pytest.mark.slow
def test_an_exported_study_is_one_that_optuna_reads(storage):
    name, count = export_to_optuna(view_of(), storage)
    study = optuna.load_study(storage=storage, study_name=name)
    assert (name, count) == ("net-7", 5)
    assert study.direction.name == "MAXIMIZE"
    assert [trial.state.name for trial in study.trials] == [
        "COMPLETE",
        "PRUNED",
        "FAIL",
        "PRUNED",
        "COMPLETE",
    ]
    assert study.best_value == 0.6
    assert study.best_params == {
        "learning_rate": 0.4,
        "hidden": 20,
        "update": "adam",
        "beta1": 0.9,
        "batch_size": 50,
    }
    first = study.trials[0]
    assert first.intermediate_values == {1: 0.3, 2: 0.5, 3: 0.4}
    assert first.value == 0.5
    assert first.distributions["learning_rate"] == optuna.distributions.FloatDistribution(1e-4, 0.5, log=True)
    assert first.distributions["hidden"] == optuna.distributions.IntDistribution(10, 100)
    assert first.distributions["update"].choices == ("sgd", "adam")
    assert study.trials[1].user_attrs["state"] == "exploded"
    assert study.user_attrs["stage_1"]["box"]["learning_rate"]["high"] == 0.5
    study.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=1)
    assert 1e-4 <= study.ask(first.distributions).params["learning_rate"] <= 0.5


def test_a_regression_is_minimized_there(storage):
    run = Run(State.COMPLETE, readings(4.0, 2.0, 3.0, loss=True), 5.0, steps=30)
    name, _ = export_to_optuna(view_of([result(0, 0, run)]), storage)
    study = optuna.load_study(storage=storage, study_name=name)
    assert (study.direction.name, study.best_value) == ("MINIMIZE", 2.0)


def test_there_and_back_keeps_choices_states_and_scores(storage, tmp_path):
    export_to_optuna(view_of(), storage)
    before = (tmp_path / "trials.db").read_bytes()
    number, count = import_from_optuna(storage, "", f"{tmp_path}/ours.sqlite")
    assert (tmp_path / "trials.db").read_bytes() == before, "the storage is only read"
    view = load_study_view(f"{tmp_path}/ours.sqlite", number)
    assert count == 5
    assert view.study.kind == "imported"
    told = [(dict(r.trial.hyperparameters), r.score) for r in view.results]
    expected = [r for r in RESULTS if r.run.state is not State.STOPPED]
    assert [choice for choice, _ in told] == [dict(r.trial.hyperparameters) for r in expected]
    assert [r.run.state for r in view.results][2:] == [State.FAILED, State.PRUNED, State.COMPLETE]
    assert [score for _, score in told][::4] == [0.5, 0.6]
    assert [reading.val_accuracy for reading in view.results[0].run.readings] == [0.3, 0.5, 0.4]
    assert view.study.outcome["best"]["number"] == 4
    assert view.stages[0].box["update"] == {"kind": "choice", "choices": ["sgd", "adam"]}
    assert "<svg" in render_report(view)


def made(storage, direction, values, name="theirs"):
    study = optuna.create_study(storage=storage, study_name=name, direction=direction)
    for value in values:
        distribution = optuna.distributions.FloatDistribution(0, 1)
        study.add_trial(
            optuna.trial.create_trial(params={"lr": 0.5}, distributions={"lr": distribution}, value=value)
        )
    return study


@pytest.mark.parametrize(("direction", "scores"), [("minimize", [-4.0, -9.0]), ("maximize", [4.0, 9.0])])
def test_an_objective_that_is_no_accuracy_keeps_its_order(storage, tmp_path, direction, scores):
    made(storage, direction, [4.0, 9.0])
    number, _ = import_from_optuna(storage, "", f"{tmp_path}/ours.sqlite")
    with Reader(f"{tmp_path}/ours.sqlite") as reader:
        found = queries.results(reader, number)
    assert [one.score for one in found] == scores
    assert found[0].run.readings[0].learning_rate == 0.5


def test_one_of_several_studies_is_chosen_by_name(storage, tmp_path):
    made(storage, "maximize", [0.1], "one")
    made(storage, "maximize", [0.1, 0.2], "two")
    assert import_from_optuna(storage, "two", f"{tmp_path}/ours.sqlite")[1] == 2
    for name in ("", "three"):
        with pytest.raises(InputError, match="name one of one, two"):
            import_from_optuna(storage, name, f"{tmp_path}/ours.sqlite")


def test_what_is_no_storage_is_refused_and_left_as_it_was(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        import_from_optuna(f"sqlite:///{tmp_path}/none.db", "", f"{tmp_path}/ours.sqlite")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "text.db").write_text("no database at all, " * 100)
    with pytest.raises(InputError, match="not an SQLite file"):
        import_from_optuna(f"sqlite:///{tmp_path}/text.db", "", f"{tmp_path}/ours.sqlite")
    sqlite3.connect(tmp_path / "other.db").execute("create table t (x)").connection.close()
    with pytest.raises(InputError, match="not an Optuna storage"):
        import_from_optuna(f"sqlite:///{tmp_path}/other.db", "", f"{tmp_path}/ours.sqlite")


def test_several_objectives_and_a_name_that_is_taken_are_refused(storage, tmp_path):
    optuna.create_study(storage=storage, study_name="two", directions=["minimize", "maximize"])
    with pytest.raises(InputError, match="2 objectives"):
        import_from_optuna(storage, "two", f"{tmp_path}/ours.sqlite")
    with pytest.raises(InputError, match="another name"):
        export_to_optuna(view_of(), storage, "two")

"""The whole of a search from Python: what comes back, what is drawn, what is refused."""

from __future__ import annotations

import importlib
import math
import sys
from xml.etree import ElementTree

import pytest

import babysit
from babysit.data.sources import digits
from babysit.errors import InputError, RecipeError
from babysit.nn.networks import two_layer
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import log_uniform
from babysit.records import State
from babysit.session.api import identity_of

SPACE = {"learning_rate": log_uniform(1e-4, 1e-1), "l2": log_uniform(1e-4, 1e-1), "hidden": 5}


def mine(**options):
    return Recipe(digits, lambda hp: two_layer(64, hp.hidden), space=SPACE, **options)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    return babysit.search(mine(), stages="coarse:8x2,fine:3x2,final:1x2", seed=3, folder=folder)


def test_a_recipe_object_is_searched_without_a_word(tmp_path, capfd):
    found = babysit.search(mine(), stages="coarse:2x1", folder=tmp_path)
    assert capfd.readouterr() == ("", "")
    assert found.state is State.COMPLETE
    assert found.name == "recipe"
    assert repr(found).startswith("<Study 1 'recipe': complete, 2 trials, best 0.")


def test_progress_is_printed_where_it_is_asked_for(tmp_path, capfd):
    babysit.search("digits", stages="coarse:2x1", folder=tmp_path, progress=True)
    assert "coarse: 0/2 trials" in capfd.readouterr().out


@pytest.mark.slow
def test_the_best_its_equals_and_the_rows_agree(study):
    rows = study.rows()
    assert len(rows) == 11
    best = max(row["val_accuracy"] for row in rows)
    assert study.best.score == best == study.ties[0].score
    assert set(study.best.hyperparameters) >= {"learning_rate", "l2", "hidden"}
    assert len(study.best.readings) == 2
    assert [row["stage"] for row in rows] == ["coarse"] * 8 + ["fine"] * 3
    assert {edge.name for edge in study.edges} <= {"learning_rate", "l2"}
    assert study.outcome["final"]["test_examples"] == 360


def test_the_trials_are_a_frame(study):
    frame = study.trials
    assert len(frame) == 11
    assert frame["val_accuracy"].max() == study.best.score
    assert (
        frame.loc[frame["val_accuracy"].idxmax(), "learning_rate"]
        == study.best.hyperparameters["learning_rate"]
    )


def test_without_pandas_the_rows_are_named_as_the_fix(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"(?s)needs pandas.*study.rows\(\)"):
        study.trials  # noqa: B018 - the property is what raises


@pytest.mark.parametrize("plot", ["plot_scatter", "plot_losses", "plot_progress", "plot_importance"])
def test_every_figure_is_one_that_a_notebook_draws(study, plot, tmp_path):
    figure = getattr(study, plot)()
    root = ElementTree.fromstring(figure._repr_svg_())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "<svg" in figure._repr_html_()
    assert figure.save(tmp_path / "figure.svg").read_text() == figure._repr_svg_()
    assert study.name in repr(figure)


def test_importance_of_too_few_trials_is_not_drawn(tmp_path):
    few = babysit.search(mine(), stages="coarse:2x1", folder=tmp_path)
    with pytest.raises(InputError, match=r"(?s)too few trials.*at least 8"):
        few.plot_importance()


def test_a_scatter_of_chosen_names(study):
    assert "hidden" in study.plot_scatter("learning_rate", "hidden").svg
    with pytest.raises(InputError, match="no trial has a hyperparameter 'momentun'"):
        study.plot_scatter("momentun")


def test_the_exported_model_is_loaded_from_the_study(study, tmp_path):
    test = digits().test
    right = (study.load(mine()).predict(test.x).numpy() == test.y).mean()
    assert right == pytest.approx(study.outcome["final"]["test_accuracy"])
    with pytest.raises(RecipeError, match=r"(?s)made in memory.*recipe=\.\.\."):
        study.load()
    unfinished = babysit.search(mine(), stages="coarse:1x1", settings={"learning_rate": 1e6}, folder=tmp_path)
    with pytest.raises(InputError, match="has exported no model"):
        unfinished.load()


def test_the_report_is_the_page_of_the_command_line(study, tmp_path):
    page = study.report(tmp_path / "page.html").read_text()
    assert page.count("<svg") > 3


def test_it_is_opened_again_by_number_name_or_as_the_newest(study):
    for which in (None, study.number, "recipe"):
        again = babysit.open(study.url, which)
        assert again.rows() == study.rows()
    with pytest.raises(InputError, match="there is no study '9'"):
        babysit.open(study.url, 9)


def test_resume_goes_on_extends_and_tells_one_recipe_object_from_another(tmp_path):
    first = babysit.search(mine(), stages="coarse:3x1", folder=tmp_path)
    more = babysit.search(mine(), stages="coarse:5x1", folder=tmp_path, resume=True)
    assert more.number == first.number
    assert more.rows()[:3] == first.rows()
    other = Recipe(digits, lambda hp: two_layer(64, hp.hidden + 1), space=SPACE)
    assert babysit.search(other, stages="coarse:5x1", folder=tmp_path, resume=True).number != first.number


def test_a_recipe_without_source_is_told_apart_by_its_code():
    def made(text):
        return Recipe(digits, eval(text), space=SPACE)

    one, same, other = (made(text) for text in ("lambda hp: 1", "lambda hp: 1", "lambda hp: 2"))
    assert identity_of(one) == identity_of(same) != identity_of(other)
    assert identity_of("digits") == ""


def test_the_same_seed_gives_the_trials_of_the_command_line(tmp_path, study):
    again = babysit.search(
        mine(), stages="coarse:8x2,fine:3x2,final:1x2", seed=3, folder=tmp_path, population=4
    )
    ours, theirs = again.rows(), study.rows()
    names = ("learning_rate", "l2", "state")
    assert [[row[name] for name in names] for row in ours] == [
        [row[name] for name in names] for row in theirs
    ]


def test_settings_and_points_to_try_first(tmp_path):
    point = {"learning_rate": 0.01}
    found = babysit.search(
        "digits", stages="coarse:2x1", folder=tmp_path, settings={"hidden": 7}, enqueue=[point], name="mine"
    )
    assert [row["hidden"] for row in found.rows()] == [7, 7]
    assert found.rows()[0]["learning_rate"] == 0.01
    assert found.name == "mine"


def test_workers_for_a_recipe_object_are_refused_in_one_line(tmp_path):
    with pytest.warns(UserWarning, match="cannot be sent to worker processes"):
        found = babysit.search(mine(), stages="coarse:2x1", folder=tmp_path, workers=2)
    assert found.state is State.COMPLETE


def test_an_option_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(TypeError, match="unexpected keyword argument 'populaton'"):
        babysit.search("digits", stages="coarse:2x1", folder=tmp_path, populaton=3)


def test_one_training(tmp_path):
    run = babysit.train("digits", folder=tmp_path, epochs=2, learning_rate=1e-2, hidden=7, seed=1)
    assert len(run.rows()) == 1
    assert run.best.hyperparameters["hidden"] == 7
    assert [reading.epoch for reading in run.best.readings] == [1, 2]
    assert not any(math.isnan(reading.val_accuracy) for reading in run.best.readings)


def test_the_room_and_the_function_have_one_name_and_both_work():
    assert callable(babysit.search)
    assert importlib.import_module("babysit.tuning.stages").FINAL == "final"
    assert callable(babysit.search)

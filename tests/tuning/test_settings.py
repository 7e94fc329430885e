"""One field of the settings is one option, one argument, one part of the fingerprint and of the commands."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import babysit
from babysit.cli.app import app
from babysit.cli.search_options import settings_of
from babysit.errors import InputError
from babysit.recipe.loading import load_recipe
from babysit.recipe.space import choice, log_uniform
from babysit.records import State, Study
from babysit.session.jobs.job import Job, deciding, fingerprint_of, open_job
from babysit.session.jobs.search import in_folds
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.tuning.adaptive import ADAPTIVE
from babysit.tuning.settings import DEFAULTS, OPTIONS, SAMPLERS, SearchSettings, flag_of, words_of
from babysit.views.data.command_lines import study_words

CHANGED = {
    "stages": "coarse:7x1,fine:5x2",
    "trials": 9,
    "folds": 3,
    "seeds": 2,
    "onnx": True,
    "sampler": "qmc",
    "round_size": 4,
    "pruner": "asha",
    "patience": 3,
    "until_stable": 2,
    "boxes": {"fine": {"learning_rate": log_uniform(1e-4, 1e-2)}},
    "observe": False,
    "details": True,
    "engine": "ray",
    "address": "auto",
    "workers": 2,
    "population": 4,
    "timeout": 90.0,
}
"""A value of each setting that is not its default."""

NAMES = [setting.name for setting in fields(SearchSettings)]
TYPED = [name for name in NAMES if OPTIONS[name].panel]


def changed(name):
    return SearchSettings(**{name: CHANGED[name]}, **({"engine": "ray"} if name == "address" else {}))


@pytest.fixture(autouse=True)
def ray_is_installed(monkeypatch):
    monkeypatch.setattr("babysit.tuning.engines.registry.find_spec", lambda name: name)


def fingerprint(wanted, **job):
    made = Job("digits", **job)
    prepared = in_folds(open_job(made), wanted.folds)
    found = deciding(made, prepared.recipe, wanted)
    return fingerprint_of(made, prepared.recipe, "search", prepared.precision, **found)


def test_every_setting_has_another_value_here():
    assert list(CHANGED) == NAMES
    assert all(CHANGED[name] != DEFAULTS[name] for name in NAMES)


def test_the_samplers_that_learn_are_named():
    assert SAMPLERS[3:] == tuple(ADAPTIVE)


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_an_argument_with_its_type_and_default(name):
    parameter = inspect.signature(babysit.search).parameters[name]
    setting = next(setting for setting in fields(SearchSettings) if setting.name == name)
    assert (parameter.kind, parameter.annotation) == (parameter.KEYWORD_ONLY, setting.type)
    assert parameter.default == setting.default
    assert re.search(rf"^    {name}: ", inspect.getdoc(babysit.search), re.MULTILINE)


def test_the_other_arguments_are_those_of_a_job():
    parameters = inspect.signature(babysit.search).parameters
    assert not [each for each in parameters.values() if each.kind is each.VAR_KEYWORD]
    jobs = {each.name: each.default for each in fields(Job)}
    assert set(parameters) == {*NAMES, *jobs, "resume", "checks", "progress"} - {"identity"}
    for name in ("seed", "store", "name", "precision", "device", "way", "enqueue"):
        assert parameters[name].default == jobs[name]
    assert Path(parameters["folder"].default) == jobs["folder"]


class NotSearchedError(Exception):
    pass


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_reaches_the_search(name, monkeypatch, tmp_path):
    def stopped(job, prepared, settings, **_):
        raise NotSearchedError(settings)

    monkeypatch.setattr("babysit.session.jobs.search.run_search", stopped)
    with pytest.raises(NotSearchedError) as caught:
        babysit.search("digits", folder=tmp_path, **{"engine": changed(name).engine, name: CHANGED[name]})
    assert caught.value.args == (changed(name),)


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_in_the_help_with_its_text_unless_only_python_has_it(name):
    text = CliRunner().invoke(app, ["search", "--help"], env={"COLUMNS": "200"}).output
    assert bool(re.search(rf"{flag_of(name)}\b", text)) == bool(OPTIONS[name].panel)
    if OPTIONS[name].panel:
        assert f"╭─ {OPTIONS[name].panel} ─" in text
        assert OPTIONS[name].help in " ".join(re.sub("[│╭╰─╮╯]", " ", text).split())


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_part_of_the_fingerprint_if_it_decides_the_trials(name):
    same = fingerprint(changed(name)) == fingerprint(SearchSettings())
    assert same == (OPTIONS[name].decides != "trials")


@pytest.mark.parametrize("name", TYPED)
def test_the_words_of_a_setting_are_typed_back_as_the_same_setting(name):
    words = words_of({name: CHANGED[name]})
    assert words[0] == flag_of(name)
    assert words_of({name: DEFAULTS[name]}) == []
    group = typer.main.get_group(app)
    _, command, _ = group.resolve_command(typer.Context(group), ["search"])
    engine = ["--engine", "ray"] if name == "address" else []
    context = command.make_context("search", ["digits", *words, *engine])
    assert settings_of({each: context.params[each] for each in [*TYPED, "extra_stages"]}) == changed(name)


@pytest.mark.parametrize("name", TYPED)
def test_the_command_to_resume_has_a_setting_if_it_is_not_the_default(name):
    """As the store keeps the settings of a search, those that decide apart from those that do not."""
    settings = changed(name)
    recipe = load_recipe("digits")
    recorded = {
        **deciding(Job("digits"), recipe, settings),
        **settings.changed("final"),
        "how": words_of(settings.changed("")),
    }
    study = Study(1, "d", "digits", "search", 0, "f", json.loads(json.dumps(recorded)), State.RUNNING, 0.0)
    words = study_words(study)
    budgets = {"stages": CHANGED["stages"], "trials": "coarse:100x5,fine:9x10,final:1x30"}
    if name in budgets:
        assert words[words.index("--stages") + 1] == budgets[name]
    else:
        ours = words_of({name: CHANGED[name]})
        assert any(words[place : place + len(ours)] == ours for place in range(len(words)))
    for other in set(TYPED) - {name, "stages", "engine"}:
        assert flag_of(other) not in words


# Hashes of the code before there was one object for the settings: studies of that time are resumed.
FROZEN = {
    "usual": "60ffa8752988778c740c1a3cbe9ded582dc34cd9c9468513eb5c7681def38a9d",
    "stages": "5fa5364b49f00aa04c7959b5026d54f3ce7d278d1ef4a10ca6657ad945e0493d",
    "trials": "42a3fa41582b627e67c6c8335890b8644dbbb98a9473be3e588e321b7edff839",
    "settings": "c2740884036b62afcf5f9e566037b1b43aefd00ae06423da281ca224e1862408",
    "enqueue": "26ddabe5efcb6414850f45047b7bacc48f5a846ddc62ed4abfd793f018662081",
    "box": "1b241bdc80c41c2416a9499340a79c9a5acc1b4eec1b8a306f06dc979f5321bd",
    "sampler": "b43b972b6f329fd63d60833b9bbaeb941724c7e5929c888165a79385bec718cf",
    "pruner": "3f28df9c748a8142a24560223f2f586884b901fa4bc24590527c54de6b26a1a0",
    "until_stable": "decc633a8732d1990e6a160c4cd20f8f6bf32d9df0ae4906924b874a7e80a478",
    "folds": "120f18debc272799bc84a1f1814d8d24b05f8b2fe3487ef11235ee492add3a89",
    "identity": "31d5e5a07c5efd2d659f918db9d13ad8f6bfe6ac5fac1787dabf98f5fc059688",
    "precision": "a11901896c7130b7aa49d62b533e0946fb1cd9c6c5330120a8cca33734a2a9a2",
    "computing": "60ffa8752988778c740c1a3cbe9ded582dc34cd9c9468513eb5c7681def38a9d",
    "all": "f872a7cd98734300ea895f414cd97a552ff6bb58966184a3f8038f87a78e5486",
}
BUDGET = "coarse:12x3,fine:6x4,final:2x5"
SETTINGS = ("l2=1e-3", "hidden=choice(20, 30)", "epochs=7", "update=adam")
CASES = {
    "usual": ({}, {}),
    "stages": ({}, {"stages": BUDGET}),
    "trials": ({}, {"stages": BUDGET, "trials": 9}),
    "settings": ({"settings": SETTINGS, "seed": 3, "name": "mine"}, {}),
    "enqueue": ({"enqueue": ("learning_rate=1e-3,l2=0.1",)}, {}),
    "box": ({}, {"boxes": CHANGED["boxes"]}),
    "sampler": ({}, {"sampler": "qmc", "round_size": 4}),
    "pruner": ({}, {"pruner": "asha", "patience": 3}),
    "until_stable": ({}, {"until_stable": 2}),
    "folds": ({}, {"folds": 3}),
    "identity": ({"identity": "0123456789abcdef"}, {}),
    "precision": ({"precision": "bfloat16"}, {}),
    "computing": (
        {"way": "vmap"},
        {"workers": 2, "population": 4, "timeout": 90.0, "seeds": 3, "observe": False, "details": True},
    ),
    "all": (
        {"settings": ("l2=1e-3",), "seed": 2},
        {
            "stages": "a:4x1,b:3x2",
            "trials": 5,
            "sampler": "grid",
            "round_size": 2,
            "pruner": "median",
            "patience": 1,
            "until_stable": 1,
            "folds": 2,
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fingerprint_is_that_of_earlier_versions(case):
    job, settings = CASES[case]
    assert fingerprint(SearchSettings(**settings), **job) == FROZEN[case]


def test_values_and_ranges_of_python_have_the_fingerprint_of_the_texts():
    values = {"l2": 1e-3, "hidden": choice(20, 30), "epochs": 7, "update": "adam"}
    assert fingerprint(SearchSettings(), settings=values, seed=3, name="mine") == FROZEN["settings"]
    points = [{"learning_rate": 1e-3, "l2": 0.1}]
    assert fingerprint(SearchSettings(), enqueue=points) == FROZEN["enqueue"]


def test_a_value_below_its_minimum_is_refused():
    for name, option in OPTIONS.items():
        if option.minimum is not None:
            with pytest.raises(InputError, match=rf"{name} = -1 is less than {option.minimum}"):
                SearchSettings(**{name: -1})
    with pytest.raises(InputError, match="timeout = nan"):
        SearchSettings(timeout=float("nan"))
    with pytest.raises(TypeError):
        SearchSettings("coarse:2x1")


def test_settings_are_frozen():
    settings = SearchSettings(pruner="median")
    with pytest.raises(AttributeError):
        settings.pruner = "asha"
    assert replace(settings, patience=2).changed("trials") == {"pruner": "median", "patience": 2}


@pytest.mark.slow
def test_the_text_50_stays_a_text(tmp_path):
    source = tmp_path / "net.py"
    source.write_text(RECIPE)
    for which, at in ((str(source), "a"), (load_recipe(str(source)), "b")):
        study = babysit.search(
            which,
            stages="coarse:2x1,final:1x1",
            folder=tmp_path / at,
            settings={"hidden": "50", "l2": 0.0},
            enqueue=[{"kind": "1e-3"}],
            workers=2 if at == "a" else 0,
        )
        rows = study.rows()
        assert [row["hidden"] for row in rows] == ["50", "50"]
        assert rows[0]["kind"] == "1e-3"
        with Reader(study.url) as reader:
            recorded = queries.study(reader, study.number).settings
        assert recorded["settings"] == ["hidden='50'", "l2=0.0"]
        assert recorded["enqueued"] == ["kind='1e-3'"]
        typed = Job(str(source), recorded["settings"], enqueue=recorded["enqueued"])
        assert open_job(typed).recipe.space["hidden"].value == "50"
        assert open_job(typed).recipe.enqueue[0]["kind"] == "1e-3"


RECIPE = """
import babysit as bs
from babysit.data.sources import digits


def model(hp):
    assert isinstance(hp.hidden, str) and isinstance(hp.kind, str)
    return bs.nn.two_layer(64, int(hp.hidden))


recipe = bs.Recipe(
    digits,
    model,
    space=dict(
        learning_rate=bs.log_uniform(1e-3, 1e-2), hidden="20", l2=0.1, kind=bs.choice("1e-3", "other")
    ),
)
"""

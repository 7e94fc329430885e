"""A search that asks for more goes on with the earlier one, and ends as if more had been asked at once."""

from __future__ import annotations

import pytest

from babysit.data.sources import digits
from babysit.errors import InputError
from babysit.nn.networks import two_layer
from babysit.recipe.building import prepare
from babysit.recipe.recipe import Recipe
from babysit.recipe.space import log_uniform
from babysit.session.commands.liveness import PROCESS, this_process
from babysit.session.jobs.job import Job
from babysit.session.jobs.search import run_search
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import budgets_of

SPACE = {"learning_rate": log_uniform(1e-4, 1e-2), "hidden": 5}


@pytest.fixture(scope="module")
def prepared():
    return prepare(Recipe(digits, lambda hp: two_layer(64, hp.hidden), space=SPACE, name="mine"), seed=0)


def run(folder, prepared, stages, resume=False, **options):
    """The study's number, how many trials were kept, and (stage, number) -> (hyperparameters, run)."""
    settings = SearchSettings(stages=stages, population=3, **options)
    found = run_search(Job("mine", folder=folder), prepared, settings, resume=resume)
    with Reader(f"sqlite:///{folder}/babysit.sqlite") as reader:
        return found.study, {r.trial.key: r for r in queries.results(reader, found.study)}


def same_runs(ours, theirs):
    assert set(ours) == set(theirs)
    for key, result in ours.items():
        assert dict(result.trial.hyperparameters) == dict(theirs[key].trial.hyperparameters)
        # Grouped otherwise, so equal to float tolerance.
        assert result.score == pytest.approx(theirs[key].score, abs=0.012)
        assert result.run.first_cost == pytest.approx(theirs[key].run.first_cost, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "then", "options"),
    [
        ("coarse:4x1", "coarse:7x1", {}),
        ("coarse:4x1,final:1x1", "coarse:4x1,final:2x1", {"trials": 7}),
        ("coarse:5x1", "coarse:5x1,fine:3x1", {}),
        ("coarse:5x1,fine:2x1", "coarse:5x1,fine:4x1", {}),
    ],
)
def test_extended_is_what_the_larger_search_would_have_been(tmp_path, prepared, first, then, options):
    study, before = run(tmp_path / "a", prepared, first)
    again, extended = run(tmp_path / "a", prepared, then, resume=True, **options)
    _, whole = run(tmp_path / "b", prepared, then, **options)
    assert again == study
    same_runs(extended, whole)
    assert len(extended) > len(before)
    assert {key: extended[key].run for key in before} == {key: one.run for key, one in before.items()}
    with Reader(f"sqlite:///{tmp_path}/a/babysit.sqlite") as reader:
        (known,) = queries.studies(reader)
    wanted = budgets_of(prepared.recipe, SearchSettings(stages=then, **options))
    assert [list(stage) for stage in known.settings["stages"]] == [list(budget) for budget in wanted]
    third, kept = run(tmp_path / "a", prepared, then, resume=True, **options)
    assert (third, kept) == (study, extended)


def test_fewer_trials_and_a_stage_that_others_follow_are_refused(tmp_path, prepared):
    run(tmp_path, prepared, "coarse:4x1,fine:2x1")
    with pytest.raises(InputError, match="has 4 trials in its stage 'coarse', more than the 3"):
        run(tmp_path, prepared, "coarse:3x1,fine:2x1", resume=True)
    with pytest.raises(InputError, match="'coarse' of study 1 cannot be extended: 'fine' has started"):
        run(tmp_path, prepared, "coarse:6x1,fine:2x1", resume=True)


def test_other_epochs_or_names_are_another_search(tmp_path, prepared):
    run(tmp_path, prepared, "coarse:2x1")
    for stages in ("coarse:3x2", "wide:3x1"):
        assert run(tmp_path, prepared, stages, resume=True)[0] > 1


def test_a_study_that_another_process_runs_is_not_taken_over(tmp_path, prepared, monkeypatch):
    study, _ = run(tmp_path, prepared, "coarse:2x1")
    with Writer(f"sqlite:///{tmp_path}/babysit.sqlite") as writer:
        writer.reopen_study(study)
        writer.note_study(study, {PROCESS: this_process()})
    assert run(tmp_path, prepared, "coarse:2x1", resume=True)[0] == study, "its own process may go on"
    with Writer(f"sqlite:///{tmp_path}/babysit.sqlite") as writer:
        writer.reopen_study(study)
        writer.note_study(study, {PROCESS: this_process()})
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(InputError, match=f"study {study} of this command is running in process"):
        run(tmp_path, prepared, "coarse:2x1", resume=True)


def test_trials_is_the_total_of_the_last_stage_before_the_final_one(prepared):
    told = budgets_of(prepared.recipe, SearchSettings(stages="coarse:4x1,fine:2x3,final:1x9", trials=20))
    assert [tuple(budget) for budget in told] == [("coarse", 4, 1), ("fine", 20, 3), ("final", 1, 9)]

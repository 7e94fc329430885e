"""A trial that was lost with its machine and begins again leaves no trace of its first life in the store."""

from __future__ import annotations

import pytest

from babysit.recipe.building import prepare
from babysit.recipe.loading import load_recipe
from babysit.records import State
from babysit.session.jobs.recorder import DiagnosingRecorder
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.tuning.engines.events import EpochDone, Restarted
from babysit.tuning.engines.local import InProcess
from babysit.tuning.search import StagedSearch
from babysit.tuning.settings import SearchSettings
from babysit.tuning.stages import Budget


class LosesOne(InProcess):
    """Loses the trial whose first epoch is told first, and has it train that epoch again."""

    def train(self, trials, epochs, *more):
        lost = []
        for event in super().train(trials, epochs, *more):
            yield event
            if not lost and isinstance(event, EpochDone):
                lost.append(event.trial)
                yield Restarted(event.trial)
                yield event


@pytest.fixture(scope="module")
def prepared():
    return prepare(load_recipe("digits"), seed=0)


def stored(prepared, engine, url, shown):
    with Writer(url) as writer:
        study = writer.begin_study(name="x", recipe="x", kind="search", seed=0, fingerprint="", settings={})
        search = StagedSearch(
            study=study,
            space=prepared.recipe.full_space(),
            budgets=[Budget("coarse", 6, 3)],
            settings=SearchSettings(pruner="median"),
            seed=0,
            examples=180,
            engine=engine,
            recorder=DiagnosingRecorder(writer, prepared),
            show=shown.append,
        )
        search.run()
    with Reader(url) as reader:
        return queries.results(reader, study)


def test_the_store_and_the_progress_know_one_life_of_it(prepared, tmp_path):
    shown, expected = [], []
    whole = stored(prepared, InProcess(prepared), f"sqlite:///{tmp_path / 'whole.sqlite'}", expected)
    broken = stored(prepared, LosesOne(prepared), f"sqlite:///{tmp_path / 'broken.sqlite'}", shown)
    assert [(one.trial, one.run.state, one.run.readings) for one in broken] == [
        (one.trial, one.run.state, one.run.readings) for one in whole
    ]
    assert {State.COMPLETE, State.PRUNED} <= {one.run.state for one in whole}
    assert [progress.epochs_done for progress in shown[1:]] == [progress.epochs_done for progress in expected]

"""What the observer saw reaches the store, from training and search, in this process and from workers."""

from __future__ import annotations

import numpy as np
import pytest

from babysit.errors import InputError
from babysit.recipe.space import log_uniform
from babysit.records import State
from babysit.session.jobs.job import Job, open_job
from babysit.session.jobs.search import run_search
from babysit.session.jobs.train import train
from babysit.session.study import Study
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.tuning.settings import SearchSettings

DIGITS = ("hidden=20",)


def reader_of(folder):
    return Reader(f"sqlite:///{folder}/babysit.sqlite")


def searched(folder, **options):
    job = Job("digits", DIGITS, folder=folder)
    prepared = open_job(job)
    boxes = {"coarse": {"learning_rate": log_uniform(1e-4, 1e1), "l2": log_uniform(1e-4, 1e-3)}}
    settings = SearchSettings(stages="coarse:6x2,final:1x3", boxes=boxes, **options)
    return run_search(job, prepared, settings).study


def test_a_training_keeps_series_histograms_and_first_layer_weights(tmp_path):
    job = Job("digits", (*DIGITS, "learning_rate=1e-2", "l2=1e-3", "epochs=3"), folder=tmp_path)
    trained = train(job, open_job(job))
    assert trained.findings == ()
    with reader_of(tmp_path) as reader:
        series = queries.series_of(reader, trained.study, (0, 0))
        histograms = queries.histograms(reader, trained.study, (0, 0))
        snapshots = queries.snapshots(reader, trained.study, (0, 0))
        assert len(queries.costs(reader, trained.study, (0, 0))[0]) == trained.run.steps
    for name in (
        "layers/1.weight/update_ratio",
        "layers/1.weight/gradient_norm",
        "layers/2/dead",
        "layers/1/std",
    ):
        steps, values = series[name]
        assert steps[0] == 1
        assert steps[-1] > trained.run.steps - 20
        assert np.isfinite(values).all()
    assert {"activations/2", "gradients/1.weight", "gradients/3.weight"} <= histograms.keys()
    assert snapshots["1.weight"][0].values.shape == (20, 1, 8, 8)


def test_a_training_is_judged_while_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("babysit.session.jobs.recorder.JUDGE_SECONDS", 0.0)
    monkeypatch.setattr("babysit.session.jobs.recorder.JUDGE_SHARE", 0.0)
    seen = []
    watched = Writer.verdict
    monkeypatch.setattr(
        "babysit.store.writer.Writer.verdict",
        lambda self, study, trial, found: (
            seen.append([one.rule for one in found.findings]) or watched(self, study, trial, found)
        ),
    )
    job = Job("digits", (*DIGITS, "learning_rate=1e-7", "l2=0.0", "epochs=6"), folder=tmp_path)
    trained = train(job, open_job(job))
    assert len(seen) == 6
    assert seen[-1] == [finding.rule for finding in trained.findings] != []
    with reader_of(tmp_path) as reader:
        study = queries.study(reader, trained.study)
    assert study.settings["environment"].keys() >= {"babysit", "python", "torch", "processor"}


def test_a_training_can_be_drawn_in_a_report_and_a_notebook(tmp_path):
    job = Job("digits", (*DIGITS, "learning_rate=1e-2", "epochs=2"), folder=tmp_path)
    number = train(job, open_job(job)).study
    study = Study(job.store_url, number)
    assert "1.weight" in study.plot_layers().svg
    assert "dead share" in study.plot_layers("dead").svg
    assert "data:image/png" in study.plot_histograms("gradients/3.weight").svg
    for plot, fix in ((study.plot_layers, "updates, gradients"), (study.plot_histograms, "activations/1")):
        with pytest.raises(InputError, match=fix):
            plot("tea")
    page = study.report(tmp_path / "report.html").read_text()
    assert "Layer statistics" in page
    assert page.count('class="picture"') == 5


def test_an_exploded_training_is_seen_up_to_its_explosion(tmp_path):
    job = Job("digits", (*DIGITS, "learning_rate=1e4", "l2=0.0"), folder=tmp_path)
    trained = train(job, open_job(job))
    assert [finding.rule for finding in trained.findings] == ["loss_exploded"]
    with reader_of(tmp_path) as reader:
        steps, _ = queries.series_of(reader, trained.study, (0, 0))["learning_rate"]
    assert steps[0] == 1
    assert steps[-1] <= trained.run.explosion.step


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_every_trial_of_a_search_has_its_layers_series(tmp_path, workers):
    study = searched(tmp_path, workers=workers, population=3)
    with reader_of(tmp_path) as reader:
        results = queries.results(reader, study)
        assert {result.run.state for result in results} == {State.COMPLETE, State.EXPLODED}
        for result in results:
            series = queries.series_of(reader, study, result.trial.key)
            steps, _ = series["layers/1.weight/update_ratio"]
            assert steps[0] == 1
            assert steps[-1] <= result.run.steps
            assert queries.histograms(reader, study, result.trial.key) == {}


def test_the_search_is_the_same_with_the_observer_and_without(tmp_path):
    kept = []
    for observe in (False, True):
        folder = tmp_path / str(observe)
        study = searched(folder, observe=observe, population=3)
        with reader_of(folder) as reader:
            kept.append(
                (
                    [
                        (one.trial, one.run.state, repr(one.run.readings))
                        for one in queries.results(reader, study)
                    ],
                    {key: points[1].tobytes() for key, points in queries.all_costs(reader, study).items()},
                    repr({key: one.causes for key, one in queries.verdicts(reader, study).items()}),
                )
            )
            assert bool(queries.series_of(reader, study, (0, 0))) is observe
    assert kept[0] == kept[1]


def test_the_best_trials_retraining_is_kept_in_detail_on_request(tmp_path):
    study = searched(tmp_path, details=True)
    with reader_of(tmp_path) as reader:
        final = queries.study(reader, study).outcome["final"]
        key = tuple(final["trial"])
        series = queries.series_of(reader, study, key)
        assert {"layers/1.weight/update_ratio", "final/layers/1.weight/update_ratio"} <= series.keys()
        assert "final/activations/2" in queries.histograms(reader, study, key)
        assert list(queries.snapshots(reader, study, key)) == ["chosen/1.weight", "final/1.weight"]
        (result,) = (one for one in queries.results(reader, study) if one.trial.key == key)
        assert result.run.state is State.COMPLETE

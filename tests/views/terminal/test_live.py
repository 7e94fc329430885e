"""Frames of `babysit live`: what is wrong first, a curve that keeps its spikes, at any width."""

from __future__ import annotations

import math

import numpy as np
import pytest

from babysit.records import Trial
from babysit.store import overview
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from babysit.views.data.recorded_run import load_trial_view
from babysit.views.data.status import study_status
from babysit.views.data.trial_table import read_board
from babysit.views.terminal.live import run_frame, study_frame
from browser.stores import write_search
from views.dashboard.test_run_page import write_run
from views.studies import printed


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Study 1 is a run that has ended, 2 one that goes on, 3 a search of which three trials run."""
    path = str(tmp_path_factory.mktemp("live") / "runs.db")
    with Writer(path) as writer:
        write_run(writer)
        write_run(writer, "[red]<b>", ended=False)
        write_search(writer, "cifar10", running=3)
    return path


def shown(path, study, width=80, **options):
    with Reader(path) as reader:
        if study == 3:
            found = overview.lines(reader, study)
            board = read_board(reader, study, found)
            frame = study_frame(board, found, study_status(reader, board, found), width)
        else:
            frame = run_frame(load_trial_view(reader, study, (0, 0)), width, **options)
    return printed(frame, width=width)


def test_a_run_is_told_with_its_findings_curve_and_rates(path):
    frame = shown(path, 1)
    for told in (
        "units are silent",
        "3 steps were NaN or infinite",
        "validation",
        "gap 4.0 %",
        "update ratios",
        "0.weight",
        "learning rate 2.5e-4",
        "complete",
    ):
        assert told in frame
    assert frame.index("units are silent") < frame.index("update ratios")


def test_the_curve_keeps_a_spike_of_one_step(path):
    rows = [row for row in shown(path, 1).splitlines() if any("⠀" <= each <= "⣿" for each in row)]
    top = rows[0]
    assert float(top[:8]) >= 50  # the axis reaches the spike
    assert any("⠀" < each <= "⣿" for each in top)


@pytest.mark.parametrize("width", [30, 40, 60, 200])
@pytest.mark.parametrize("study", [1, 2, 3])
def test_a_frame_fits_the_width(path, study, width):
    assert max(map(len, shown(path, study, width).splitlines())) <= width


def test_a_study_is_told_with_its_progress_and_who_runs(path):
    frame = shown(path, 3)
    for told in ("study 3: cifar10, search: running", "3 running", "coarse", "12 of 12", "best", "fine 5"):
        assert told in frame


def test_signs_of_life(path):
    assert "last heartbeat 3.0 s ago" in shown(path, 2, quiet=3.0)
    assert "its process is gone" in shown(path, 2, interrupted=True)
    assert "sign" not in shown(path, 2, quiet=math.nan)
    assert "sign" not in shown(path, 1, quiet=3.0)


def test_a_run_that_waits_has_a_frame_too(tmp_path):
    path = str(tmp_path / "runs.db")
    with Writer(path) as writer:
        study = writer.begin_study(name="w", recipe="", kind="watch", seed=0, fingerprint="", settings={})
        writer.begin_trials(study, [Trial(0, 0, {})])
        assert "running" in shown(path, 1)
        writer.costs(study, Trial(0, 0, {}), np.arange(1, 4), np.full(3, math.nan))
        writer.flush()
        assert "running" in shown(path, 1)

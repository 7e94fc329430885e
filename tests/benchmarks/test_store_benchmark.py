"""The load benchmark on a small store: missed versions and failed requests are counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.loading.looking import Sizes, Watching, early, waits
from benchmarks.loading.writing import write

from babysit.records import Reading, Trial
from babysit.store.writer import Writer

pytest.importorskip("uvicorn")

from babysit.views.dashboard.server import Server
from babysit.views.dashboard.state import OpenStore, Serving


def test_what_a_page_received_and_what_it_missed(tmp_path: Path) -> None:
    store = str(tmp_path / "runs.sqlite")
    write(store, 0, trials=3, points=400)
    with Server(Serving(OpenStore(store))) as server:
        watching = Watching(server.port, 1)
        watching._try(watching._open)
        watching._try(watching._ask)
        assert (watching.missed(store), watching.failures) == (0, [])
        with Writer(store) as writer:
            writer.begin_trials(1, [trial := Trial(0, 3, {"learning_rate": 1e-3})])
            writer.epoch(1, trial, Reading(1, 2, 0.5, 0.5, 0.5, 1e-3), [1, 2], [0.7, 0.5])
        assert watching.missed(store) == 1
        watching._try(watching._ask)
        assert watching.missed(store) == 0
    watching._try(watching._ask)
    assert "refused" in watching.failures[0]
    answers = {word: len(times) for word, times in watching.visitor.times.items()}
    assert answers == {
        "page of all studies": 1,
        "page of a study": 1,
        "page of a run": 1,
        "names of a run's series": 1,
        "series of a run": 1,
        "news of a study": 2,
        "news of all studies": 2,
        "news of a run": 2,
    }


def test_times_and_sizes_are_reported_as_they_are(tmp_path: Path) -> None:
    told = waits([0.001 * milliseconds for milliseconds in range(101)])
    assert (told.answers, told.median_ms, told.p99_ms, told.worst_ms) == pytest.approx((101, 50, 99, 100))
    assert early([9.0, 1.0, *np.arange(2.0, 20.0)]) == 3.0
    Writer(str(tmp_path / "runs.sqlite")).close()
    (tmp_path / "runs.sqlite-wal").write_bytes(bytes(2**20))
    sizes = Sizes(str(tmp_path / "runs.sqlite"), 0)
    sizes.take(set())
    assert (sizes.writers, sizes.dashboard, sizes.log) == ([0.0], [0.0], [0.0, 1.0])

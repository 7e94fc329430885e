"""Processes that train one model together: the first reports on all, and none waits for another's watch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from babysit.watching.ranks import RankNote
from babysit.watching.report import report_on
from babysit.watching.sample import Setup, WatchLog
from together import said_in, trained_together

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
def test_weights_are_the_same_with_the_watch_and_without_and_hooks_see_the_inner_module(tmp_path):
    (tmp_path / "bare").mkdir()
    watched, bare = trained_together("", tmp_path), trained_together("unwatched", tmp_path / "bare")
    assert watched[0]["weights"] == watched[1]["weights"] == bare[0]["weights"] == bare[1]["weights"]
    assert [said["failures"] for said in watched] == [[0, ""]] * 2
    assert [said["ended"] for said in watched] == ["", ""]
    assert watched[0]["causes"] == []
    assert any(fact.startswith("loss over 2 ranks at step 60: mean ") for fact in watched[0]["facts"])
    assert {name.removeprefix("module.") for name in watched[0]["layers"]} == {"0", "1", "2"}
    assert watched[1]["layers"] == []
    assert watched[1]["facts"] == ["rank 1: rank 0 watches and reports"]


@pytest.mark.slow
def test_a_rank_whose_loss_alone_is_nan_is_named(tmp_path):
    first, _ = trained_together("told nan", tmp_path)
    assert first["causes"][0] == [
        "other_process_not_finite",
        "rank 1: loss is nan since step 37, the other ranks are finite",
    ]


@pytest.mark.slow
def test_a_rank_that_drags_the_others_along_is_named(tmp_path):
    first, second = trained_together("nan batch", tmp_path)
    assert first["causes"][0] == [
        "other_process_not_finite",
        "rank 1: loss is nan since step 37, rank 0 followed",
    ]
    assert "loss_not_finite" in first["symptoms"][0]
    assert [first["ended"], second["ended"]] == ["", ""]


@pytest.mark.slow
def test_a_rank_that_raises_is_named_and_nobody_waits_for_ever(tmp_path):
    first, second = trained_together("rank 1 raises", tmp_path)
    assert second["ended"] == "ValueError: a shard is missing"
    assert first["ended"]
    assert first["causes"][0][0] == "other_process_raised"
    assert "rank 1 ended after step 19 with ValueError: a shard is missing" in first["causes"][0][1]
    assert "loop_raised" in first["symptoms"][0]


@pytest.mark.slow
def test_where_the_first_rank_raises_the_others_end_too(tmp_path):
    first, second = trained_together("rank 0 raises", tmp_path)
    assert first["ended"] == "ValueError: a shard is missing"
    assert first["causes"][0][0] == "loop_raised"
    assert second["ended"]


@pytest.mark.slow
def test_ranks_that_look_at_other_steps_do_not_wait_for_one_another(tmp_path):
    first, second = trained_together("other steps", tmp_path)
    assert [first["ended"], second["ended"]] == ["", ""]
    assert first["causes"] == []


@pytest.mark.slow
def test_torchrun_starts_what_is_watched(tmp_path):
    found = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nproc-per-node",
                "2",
                "--local-addr",
                "127.0.0.1",
            ),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"),
            *(str(TESTS / "together.py"), "nan batch", str(tmp_path)),
        ],
        env={
            **os.environ,
            "PYTHONPATH": f"{TESTS}:{os.environ.get('PYTHONPATH', '')}",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    first, _ = said_in(tmp_path)
    assert first["causes"][0] == [
        "other_process_not_finite",
        "rank 1: loss is nan since step 37, rank 0 followed",
    ]


NAN = float("nan")


@pytest.mark.parametrize(
    ("own", "others", "message"),
    [
        (
            (1.0, NAN, NAN),
            [(3, 1.0, 0), (3, 1.0, 0)],
            "rank 0: loss is nan since step 2, the other ranks are finite",
        ),
        (
            (1.0, 1.0, 1.0),
            [(3, NAN, 2), (3, NAN, 2)],
            "rank 1, 2: loss is nan since step 2, the other ranks are finite",
        ),
        ((1.0, 1.0, NAN), [(3, NAN, 2), (3, NAN, 3)], "rank 1: loss is nan since step 2, rank 0, 2 followed"),
        ((1.0, NAN, NAN), [(3, NAN, 2), (3, NAN, 2)], None),
        ((1.0, 1.0, 1.0), [(3, 1.0, 0)], None),
    ],
)
def test_who_was_first_is_told(own, others, message):
    notes = tuple(RankNote(rank, step, loss, bad, NAN) for rank, (step, loss, bad) in enumerate(others, 1))
    found = {
        cause.finding.rule: cause.finding.message
        for cause in report_on(WatchLog(Setup(), own, ranks=notes)).causes
    }
    assert found.get("other_process_not_finite") == message


def test_a_rank_that_only_misses_another_is_not_blamed():
    notes = (
        RankNote(1, 9, 1.0, ending="RuntimeError: Connection closed by peer [127.0.0.1]:4711"),
        RankNote(2, 9, 1.0, ending="ValueError: Target 4 is out of bounds."),
    )
    log = WatchLog(Setup(), (1.0,) * 9, ending="RuntimeError: Connection closed by peer", ranks=notes)
    cause = report_on(log).causes[0]
    assert (cause.finding.rule, cause.finding.where) == ("other_process_raised", "rank 2")
    assert [symptom.rule for symptom in cause.symptoms] == ["loop_raised"]

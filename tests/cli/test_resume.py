"""The command that goes on with an interrupted study does so, when it is run as it is printed."""

from __future__ import annotations

import shlex
import time

import pytest

from babysit.errors import StoreError
from babysit.records import State
from babysit.store import queries
from babysit.store.reader import Reader
from forked import Command

HOW = (
    *("--stages", "coarse:400x3", "--population", "4", "--way", "vmap", "--seed", "3"),
    *("--sampler", "qmc", "--round", "8", "--pruner", "median", "--patience", "2"),
    *("--until-stable", "--extra-stages", "1", "--enqueue", "l2=0.1", "--timeout", "1h", "--name", "a b"),
    *("-s", "hidden=20", "--out", "my runs", "--store", "it is.db"),
)


def finished():
    try:
        with Reader("it is.db") as reader:
            found = queries.results(reader, 1)
    except StoreError:  # not there, or about to be made
        return {}
    return {result.trial.key: result.run for result in found if result.run.state is State.COMPLETE}


def killed(*words):
    """A search that is killed once some of its trials are finished."""
    process = Command("search", "digits", *words, "--resume")
    until = time.monotonic() + 120
    while len(finished()) < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.communicate()
    return finished()


@pytest.mark.slow
def test_it_goes_on_with_everything_that_was_asked(babysit):
    kept = killed(*HOW)
    told = babysit("runs", "--store", "it is.db").out
    command = " ".join(told.partition("resume with: ")[2].split())
    words = shlex.split(command)
    assert words.pop(0) == "babysit"
    assert {*HOW} - {"1h"} < {*words}
    process = Command(*words)
    until = time.monotonic() + 120
    while len(finished()) <= len(kept):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert {key: run for key, run in finished().items() if key in kept} == kept
    with Reader("it is.db") as reader:
        assert len(queries.studies(reader)) == 1

"""`babysit store` as a user types it."""

import os
import sqlite3
import time

import pytest

from babysit.store.writer import Writer
from store.conftest import begin
from store.records import complete


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "babysit-runs" / "babysit.sqlite"
    with Writer(str(path)) as writer:
        writer.finish_trials(begin(writer), [complete(0)])
    return path


def execute(path, *statements):
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_a_whole_store(babysit, store):
    answer = babysit("store", "verify")
    assert (answer.code, answer.out) == (0, "whole: studies 1, trials 1, readings 3, points 0\n")
    assert babysit("store", "verify", "--json").data["whole"] is True


def test_a_broken_store_has_exit_code_1(babysit, store):
    execute(store, "UPDATE run_summary SET epochs = 9")
    answer = babysit("store", "verify", "--store", store)
    assert answer.code == 1
    assert "trial 1/0/0 is complete after 9 epochs, but its last reading is 3" in answer.out
    assert "fix:" in answer.out


def test_migrating(babysit, store):
    assert "nothing to do" in babysit("store", "migrate").out
    execute(store, *(f"DROP TABLE {name}" for name in ("touches", "heartbeats", "commands", "verdicts")))
    execute(store, "UPDATE meta SET value = 3 WHERE name = 'schema_version'")
    answer = babysit("store", "migrate")
    assert answer.code == 0
    assert "schema 3 → 5" in answer.out
    assert "live runs" in answer.out
    assert "the whole verdict" in answer.out.lower()
    assert babysit("store", "migrate", "--json").data == {"before": 5, "after": 5, "steps": []}


def test_compacting_prunes_old_checkpoints(babysit, store, tmp_path):
    old, young, model, half = (
        store.parent / name
        for name in (
            "a.checkpoint.safetensors",
            "b.checkpoint.safetensors",
            "a.safetensors",
            "c.safetensors.part",
        )
    )
    for path in (old, young, model, half):
        path.touch()
    for path in (old, model, half):
        os.utime(path, (time.time() - 40 * 86_400,) * 2)
    assert set(babysit("store", "compact", "--json").data["deleted"]) == {
        str(path.relative_to(tmp_path)) for path in (old, half)
    }
    assert young.exists()
    assert model.exists()
    assert "b.checkpoint" in babysit("store", "compact", "--keep-days", 0).out
    assert babysit("store", "verify").code == 0


@pytest.mark.parametrize("command", ["migrate", "verify", "compact"])
def test_what_is_not_there_is_refused(babysit, command):
    answer = babysit("store", command, "--store", "none.db")
    assert answer.code == 2
    assert "no store" in answer.err


def test_a_newer_store_is_refused_with_the_fix(babysit, store):
    execute(store, "UPDATE meta SET value = 99 WHERE name = 'schema_version'")
    for command in ("migrate", "verify", "compact"):
        answer = babysit("store", command)
        assert answer.code == 2
        assert "pip install --upgrade babysit" in answer.err

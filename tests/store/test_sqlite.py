"""The contract on an SQLite file, and what only a file can do: be killed over, be shared, be refused."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from babysit.errors import StoreError
from babysit.records import CommandKind, State
from babysit.store import engine, queries
from babysit.store.commands import Commands, commands_of, silence
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from store.conftest import begin
from store.contract import StoreContract
from store.records import complete, details, epoch_costs, feed, reading, same, trial
from store.sharing_contract import SharingContract


class TestSQLite(StoreContract, SharingContract):
    pass


def test_a_plain_path_is_a_store(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.db"
    with Writer(str(path)) as writer:
        begin(writer)
    assert [file.name for file in path.parent.iterdir()] == ["b.db"]
    with Reader(f"sqlite:///{path}") as reader:
        assert len(queries.studies(reader)) == 1


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        Reader(str(tmp_path / "none.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opened", [Reader, Writer])
class TestRefused:
    def test_a_file_of_something_else(self, opened: type[Reader] | type[Writer], tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("these are my notes, not a database\n" * 50)
        with pytest.raises(StoreError, match=r"not a babysit store[\s\S]*fix"):
            opened(str(path))
        assert path.read_text().startswith("these are my notes")

    def test_a_database_of_something_else(self, opened: type[Reader] | type[Writer], tmp_path: Path) -> None:
        path = tmp_path / "other.db"
        _execute(path, "CREATE TABLE meta (name TEXT, value INTEGER)")
        with pytest.raises(StoreError, match="not a babysit store"):
            opened(str(path))

    def test_a_newer_schema(self, opened: type[Reader] | type[Writer], tmp_path: Path) -> None:
        path = tmp_path / "new.db"
        Writer(str(path)).close()
        _execute(path, "UPDATE meta SET value = 99 WHERE name = 'schema_version'")
        with pytest.raises(StoreError, match=r"newer babysit[\s\S]*upgrade"):
            opened(str(path))

    @pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
    def test_a_network_filesystem(
        self, opened: type[Reader] | type[Writer], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mounts, path = tmp_path / "mounts", tmp_path / "on the net" / "runs.db"
        path.parent.mkdir()
        path.touch()
        point = str(path.parent).replace(" ", "\\040")
        mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {point} {kind} rw 0 0\n")
        monkeypatch.setattr(engine, "MOUNTS", mounts)
        with pytest.raises(StoreError, match=rf"{kind}[\s\S]*PostgreSQL"):
            opened(str(path))

    @pytest.mark.parametrize("url", ["", "sqlite://", ":memory:", "sqlite:///:memory:", "no such://thing"])
    def test_an_address_of_nothing(self, opened: type[Reader] | type[Writer], url: str) -> None:
        with pytest.raises(StoreError, match="fix"):
            opened(url)

    def test_a_server_without_its_driver(self, opened: type[Reader] | type[Writer]) -> None:
        with pytest.raises(StoreError, match=r"driver[\s\S]*pip install"):
            opened("firebird://localhost/x")

    def test_a_folder(self, opened: type[Reader] | type[Writer], tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="fix"):
            opened(str(tmp_path))


def test_unknown_filesystems_are_trusted() -> None:
    mounts = "overlay / overlay rw 0 0\nnet /data nfs rw 0 0\ntmpfs /data/fast madeupfs rw 0 0\n"
    assert engine.network_filesystem(Path("/data/runs.db"), mounts) == "nfs"
    assert engine.network_filesystem(Path("/data/fast/runs.db"), mounts) is None
    assert engine.network_filesystem(Path("/home/runs.db"), mounts) is None
    assert engine.network_filesystem(Path("/home/runs.db"), "") is None


def test_the_later_mount_on_one_point_counts() -> None:
    assert engine.network_filesystem(Path("/d/x"), "a /d nfs rw\nb /d ext4 rw\n") is None


@pytest.mark.parametrize("folder", ["a file", "/proc/none", "/proc"])
def test_a_folder_that_cannot_be(folder: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(StoreError, match=r"cannot be[\s\S]*fix: name a file in a folder"):
        Writer(str(tmp_path / folder / "runs.db"))


def test_a_locked_store_says_so(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with Writer(str(path), busy_seconds=0.1) as writer:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"locked[\s\S]*finished trial is kept"):
            begin(writer)
        other.execute("COMMIT")
        other.close()
        begin(writer)


def test_a_late_commit_is_reported_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("babysit.store.writer.FLUSH_SECONDS", 0.05)
    path = tmp_path / "runs.db"
    with Writer(str(path), busy_seconds=0.0) as writer, Reader(str(path)) as reader:
        study = begin(writer)
        writer.begin_trials(study, [trial()])
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writer.epoch(study, trial(), reading(1), *epoch_costs(1))
        while writer._failure is None:
            pass
        with pytest.raises(StoreError, match="locked"):
            writer.epoch(study, trial(), reading(2), *epoch_costs(2))
        other.execute("COMMIT")
        other.close()
        while writer._active[1].pending:
            pass
        assert len(queries.results(reader, study)[0].run.readings) == 1


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small filesystem")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets no one mount a filesystem")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def write_until_full(path: Path, finished: list[int]) -> None:
    with Writer(str(path)) as writer:
        study = begin(writer)
        for number in range(1000):
            writer.epoch(study, trial(number), reading(1), np.arange(5000), np.ones(5000))
            writer.finish_trials(study, [complete(number)])
            finished.append(number)


def test_a_full_disk_keeps_what_had_finished(mount: Path) -> None:
    path = mount / "runs.db"
    finished: list[int] = []
    with pytest.raises(StoreError, match=r"full: [\d.]+ MiB free[\s\S]*finished trial is kept"):
        write_until_full(path, finished)
    assert len(finished) > 3
    with Reader(str(path)) as reader:
        complete_ones = [one for one in queries.results(reader, 1) if one.run.state is State.COMPLETE]
        assert len(complete_ones) == len(finished)


def test_a_read_only_disk_can_be_read(mount: Path) -> None:
    path = mount / "runs.db"
    with Writer(str(path)) as writer:
        writer.finish_trials(begin(writer), [complete(0)])
    subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
    with Reader(str(path)) as reader:
        assert same(queries.results(reader, 1), [complete(0)])
    with pytest.raises(StoreError, match=r"fix"):
        Writer(str(path))


def _execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_store_of_the_first_schema_is_read_and_extended(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with Writer(str(path)) as writer:
        study = begin(writer)
        feed(writer, study, complete(0))
        writer.finish_trials(study, [complete(0)])
    for statement in (
        "DROP TABLE histograms",
        "DROP TABLE snapshots",
        "DROP TABLE fold_scores",
        "DROP TABLE commands",
        "DROP TABLE heartbeats",
        "DROP TABLE touches",
        "UPDATE meta SET value = 1 WHERE name = 'schema_version'",
    ):
        _execute(path, statement)
    with Reader(str(path)) as reader:
        assert same(queries.results(reader, study), [complete(0)])
        assert queries.histograms(reader, study, (0, 0)) == {}
        assert queries.snapshots(reader, study, (0, 0)) == {}
        assert commands_of(reader, study) == []
        assert math.isnan(silence(reader, study))
    with Writer(str(path)) as writer:
        writer.details(study, trial(1), details(1))
    with Reader(str(path)) as reader:
        assert same(queries.results(reader, study)[0], complete(0))
        assert list(queries.histograms(reader, study, (0, 1))) == ["activations/1"]


def test_a_request_adds_its_table_to_an_older_store(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with Writer(str(path)) as writer:
        study = begin(writer)
        for name in ("commands", "heartbeats", "touches"):
            _execute(path, f"DROP TABLE {name}")
        _execute(path, "UPDATE meta SET value = 3 WHERE name = 'schema_version'")
        with Commands(str(path)) as commands:
            asked = commands.ask(study, CommandKind.STOP_STUDY)
            assert [one.id for one in commands.take(study)] == [asked.id]


def test_nothing_is_asked_of_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store"):
        Commands(str(tmp_path / "none.db"))
    assert not (tmp_path / "none.db").exists()

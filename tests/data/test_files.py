"""Where data lie by default, and one kind of error for whatever is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from babysit.data.files import data_root, read
from babysit.errors import DataError


def test_the_data_root_follows_the_environment(monkeypatch):
    monkeypatch.setenv("BABYSIT_DATA", "/somewhere")
    assert data_root() == Path("/somewhere")
    monkeypatch.delenv("BABYSIT_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data_root() == Path("/cache/babysit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root() == Path.home() / ".cache" / "babysit"


def test_a_good_file_is_parsed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    assert read(path, lambda file: file.read(), kind="text", fix="none") == b"content"


@pytest.mark.parametrize("error", [ValueError("odd"), EOFError("odd"), MemoryError("odd"), KeyError("odd")])
def test_whatever_a_parser_raises_names_the_file_and_the_fix(tmp_path, error):
    path = tmp_path / "a.txt"
    path.touch()

    def parse(_: object) -> None:
        raise error

    with pytest.raises(DataError, match=r"a.txt cannot be read as text: .*odd") as caught:
        read(path, parse, kind="text", fix="write it again")
    assert caught.value.fix == "write it again"


def test_absent_files_and_folders_are_named(tmp_path):
    with pytest.raises(DataError, match="absent does not exist"):
        read(tmp_path / "absent", bytes, kind="text", fix="")
    with pytest.raises(DataError, match="is a folder, not text"):
        read(tmp_path, bytes, kind="text", fix="")


@pytest.mark.usefixtures("refuse_open")
def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(DataError, match="may not be read"):
        read(tmp_path / "secret", bytes, kind="text", fix="")

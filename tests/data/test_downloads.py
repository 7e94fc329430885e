"""Downloads, against a server on this machine: success, wrong checksum, absent file, no network."""

from __future__ import annotations

import functools
import hashlib
import shutil
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from babysit.data.cifar import FILES, cifar10
from babysit.data.downloads import SOURCES, Download, fetch, wanted
from babysit.data.idx import fashion_mnist
from babysit.errors import DataError


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the test's output stays clean."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served at."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def checksums(folder: Path) -> dict[str, str]:
    return {path.name: f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for path in folder.iterdir()}


def test_fashion_mnist_is_fetched_once(served, idx_folder, no_data, monkeypatch):
    folder, base = served
    for path in idx_folder.iterdir():
        shutil.copy(path, folder)
    monkeypatch.setitem(SOURCES, "fashion-mnist", Download(base, checksums(folder)))
    first = fashion_mnist(download=True, val=5)
    assert len(first.train) == 25
    shutil.rmtree(folder)
    assert len(fashion_mnist(val=5).train) == 25
    assert (no_data / "fashion-mnist" / "train-labels-idx1-ubyte.gz").is_file()


def test_cifar10_is_fetched_and_unpacked(served, cifar_folder, no_data, monkeypatch):
    folder, base = served
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as made:
        made.add(cifar_folder, "cifar-10-batches-py")
    monkeypatch.setitem(SOURCES, "cifar10", Download(base, checksums(folder)))
    monkeypatch.setenv("BABYSIT_DOWNLOAD", "1")
    assert len(cifar10(val=10).train) == 90
    unpacked = sorted(path.name for path in (no_data / "cifar-10-batches-py").iterdir())
    assert unpacked == sorted(FILES)


def test_what_is_missing_from_an_incomplete_set_is_fetched(served, idx_folder, cifar_folder, monkeypatch):
    folder, base = served
    for path in idx_folder.iterdir():
        shutil.copy(path, folder)
    monkeypatch.setitem(SOURCES, "fashion-mnist", Download(base, checksums(folder)))
    (idx_folder / "train-images-idx3-ubyte.gz").unlink()
    assert len(fashion_mnist(idx_folder, download=True, val=5).train) == 25

    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as made:
        made.add(cifar_folder, "cifar-10-batches-py")
    sums = {"cifar-10-python.tar.gz": checksums(folder)["cifar-10-python.tar.gz"]}
    monkeypatch.setitem(SOURCES, "cifar10", Download(base, sums))
    (cifar_folder / "data_batch_2").unlink()
    for root in (cifar_folder, cifar_folder.parent):
        assert len(cifar10(root, download=True, val=10).train) == 90


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(served, tmp_path, monkeypatch):
    folder, base = served
    (folder / "a.bin").write_bytes(b"altered on the way")
    monkeypatch.setitem(SOURCES, "made", Download(base, {"a.bin": "md5:" + "0" * 32}))
    with pytest.raises(DataError, match=r"a.bin could not be downloaded: .*hash") as caught:
        fetch("made", tmp_path / "target")
    assert "into" in caught.value.fix
    assert not list((tmp_path / "target").glob("*"))


def test_a_file_that_the_server_lacks_is_named(served, tmp_path, monkeypatch):
    _, base = served
    monkeypatch.setitem(SOURCES, "made", Download(base, {"b.bin": "md5:" + "0" * 32}))
    with pytest.raises(DataError, match=r"b.bin could not be downloaded: 404"):
        fetch("made", tmp_path)


def test_no_network_says_what_to_put_where(no_data, monkeypatch):
    nowhere = Download("http://127.0.0.1:9/", {"train-images-idx3-ubyte.gz": "md5:" + "0" * 32})
    monkeypatch.setitem(SOURCES, "fashion-mnist", nowhere)
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        fashion_mnist(download=True)
    assert "train-images-idx3-ubyte.gz" in caught.value.fix
    assert str(no_data / "fashion-mnist") in caught.value.fix


def test_a_folder_that_cannot_be_made_is_named(served, tmp_path, monkeypatch):
    folder, base = served
    (folder / "a.bin").write_bytes(b"a")
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setitem(SOURCES, "made", Download(base, checksums(folder)))
    with pytest.raises(DataError, match="could not be downloaded"):
        fetch("made", tmp_path / "file" / "target")


@pytest.mark.parametrize(("value", "expected"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_the_environment_can_ask_for_downloads(monkeypatch, value, expected):
    monkeypatch.setenv("BABYSIT_DOWNLOAD", value)
    assert wanted(False) is expected
    assert wanted(True)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_published_addresses_are_encrypted_and_checked(source):
    assert source.base.startswith("https://")
    assert source.base.endswith("/")
    lengths = {"md5": 32, "sha256": 64}
    for checksum in source.checksums.values():
        algorithm, digest = checksum.split(":")
        assert len(digest) == lengths[algorithm]


def test_the_real_files_have_the_published_checksums(real_data):
    for name, source in SOURCES.items():
        for path in (real_data / name).glob("*.gz"):
            assert source.checksums[path.name] == f"md5:{hashlib.md5(path.read_bytes()).hexdigest()}"

"""Whatever is wrong with the input, the user reads what, where and the fix; the exit code is 2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from babysit.data import downloads


def assert_refused(answer, *words):
    assert answer.code == 2, answer
    text = " ".join(answer.err.split())
    assert "Traceback" not in text
    assert "Traceback" not in answer.out
    for word in words:
        assert word in text
    assert "fix:" in text


@pytest.mark.parametrize("command", ["check", "train", "search"])
def test_a_missing_path(babysit, command):
    assert_refused(babysit(command, "nowhere.py"), "nowhere.py")


def test_an_unknown_builtin_gets_a_hint(babysit):
    assert_refused(babysit("check", "cifar"), "cifar10")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("learning_rate=abc", ["learning_rate", "abc"]),
        ("learning_rate=-1", ["learning_rate"]),
        ("learning_rate=nan", ["learning_rate"]),
        ("hiden=3", ["hidden"]),
        ("batch_size=0", ["batch_size"]),
        ("l2", ["name=value"]),
        ("l2=log_uniform(0, 1)", ["log_uniform"]),
        ("epochs=0", ["epochs"]),
        ("update=sdg", ["sgd"]),
    ],
)
def test_an_impossible_setting(babysit, setting, words):
    assert_refused(babysit("train", "digits", "-s", setting), *words)


def test_stages_that_cannot_be_read(babysit):
    assert_refused(babysit("search", "digits", "--stages", "100x5"), "100x5", "name:TRIALSxEPOCHS")


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--folds", "1"), "1 folds"), (("--stages", "100x5"), "100x5"), (("--timeout", "soon"), "'soon'")],
)
def test_a_search_that_cannot_be_is_refused_before_anybody_waits_for_checks(babysit, options, word):
    answer = babysit("search", "digits", *options)
    assert_refused(answer, word)
    assert "checks" not in answer.out


DATA = {
    "a file that is not there": ("return bs.data.csv('none.csv', label='y')", "none.csv"),
    "the wrong format": ("return bs.data.npz('words.csv')", "words.csv"),
    "no such label column": ("return bs.data.csv('words.csv', label='species')", "species"),
    "NaN in the data": ("return bs.data.csv('nan.csv', label='y')", "nan.csv"),
    "one class only": ("return bs.data.csv('one.csv', label='y', task='classification')", "class"),
    "NaN in an array": (
        "return bs.data.arrays(np.full((9, 2), np.nan), np.arange(9) % 2, np.ones((4, 2)), np.arange(4) % 2)",
        "arrays",
    ),
    "an exception": ("return 1 / 0", "ZeroDivisionError"),
    "nothing returned": ("pass", "NoneType"),
}


@pytest.mark.parametrize("fault", DATA)
def test_data_that_cannot_be_used(babysit, recipe_file, tmp_path, fault):
    (tmp_path / "words.csv").write_text("a,y\n1,2\n3,4\n")
    (tmp_path / "nan.csv").write_text(
        "a,y\n" + "".join(f"{'' if i == 7 else i},{i % 2}\n" for i in range(40))
    )
    (tmp_path / "one.csv").write_text("a,y\n" + "".join(f"{i},same\n" for i in range(40)))
    body, word = DATA[fault]
    assert_refused(babysit("check", recipe_file(data=body)), word)


MODELS = {
    "an exception": ("raise ValueError('no such layer')", ["no such layer", "recipe.py:10"]),
    "a wrong output width": ("return bs.nn.two_layer(64, hp.hidden, 12)", ["(2, 12)", "(2, 10)"]),
    "a wrong input width": ("return bs.nn.two_layer(65, hp.hidden)", ["64"]),
    "no module": ("return hp.hidden", ["int", "nn.Module"]),
    "a misspelt hyperparameter": ("return bs.nn.two_layer(64, hp.hiden)", ["hidden"]),
    "a hyperparameter nobody reads": ("return bs.nn.two_layer(64, 20)", ["hidden"]),
}


@pytest.mark.parametrize("fault", MODELS)
def test_a_model_that_cannot_be_used(babysit, recipe_file, fault):
    body, words = MODELS[fault]
    assert_refused(babysit("train", recipe_file(model=body)), *words)


def test_a_recipe_that_raises_while_it_is_read(babysit, tmp_path):
    (tmp_path / "broken.py").write_text("import babysit as bs\nvalue = 1 / 0\n")
    assert_refused(babysit("check", "broken.py"), "ZeroDivisionError", "broken.py:2")


def test_a_recipe_that_is_no_python(babysit, tmp_path):
    (tmp_path / "broken.py").write_text("def data(:\n")
    assert_refused(babysit("check", "broken.py"), "broken.py", "SyntaxError")


def test_a_store_that_is_no_database(babysit, tmp_path):
    (tmp_path / "notes.txt").write_text("not a database, only words\n" * 50)
    answer = babysit("train", "digits", "-s", "epochs=1", "--store", tmp_path / "notes.txt")
    assert_refused(answer, "notes.txt")
    assert (tmp_path / "notes.txt").read_text().startswith("not a database")


def test_a_store_that_does_not_exist_yet_cannot_be_listed(babysit):
    assert_refused(babysit("runs"), "babysit.sqlite")


def test_a_study_that_does_not_exist(babysit):
    babysit("train", "digits", "-s", "epochs=1")
    assert_refused(babysit("report", "7"), "7")


def test_an_output_folder_under_a_file(babysit, tmp_path):
    (tmp_path / "file").write_text("")
    assert_refused(babysit("train", "digits", "--out", tmp_path / "file" / "runs"), "runs", "--out")


def test_words_that_are_no_command(babysit):
    assert babysit("serch", "digits").code == 2
    assert babysit("train", "digits", "--sed", "1").code == 2


needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or sys.platform != "linux",
    reason="mounting a small or read-only file system needs root on Linux",
)


@pytest.fixture
def mounted(tmp_path):
    """A tmpfs of the given size; mounted read-only on request."""
    folder = tmp_path / "mount"
    folder.mkdir()

    def mount(*options: str) -> Path:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)], capture_output=True
        )
        if made.returncode:
            pytest.skip(f"cannot mount here: {made.stderr.decode().strip()}")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


@needs_root
def test_a_read_only_folder(babysit, mounted):
    folder = mounted("size=1m", "ro")
    assert_refused(babysit("train", "digits", "--out", folder / "runs"), "Read-only")


@pytest.mark.slow
@needs_root
def test_a_full_disk_keeps_what_was_finished(babysit, mounted):
    folder = mounted("size=700k")
    answer = babysit("search", "digits", "--stages", "coarse:300x3", "--workers", 1, "--out", folder)
    assert_refused(answer, "full")
    (folder / "room").unlink(missing_ok=True)
    listed = babysit("runs", "--out", folder, "--json")
    assert listed.code == 0
    assert listed.data["studies"][0]["name"] == "digits"


def test_data_that_is_not_here_and_cannot_be_fetched(babysit, tmp_path, monkeypatch):
    closed = downloads.Download("http://127.0.0.1:9/", {"cifar-10-python.tar.gz": "sha256:00"})
    monkeypatch.setitem(downloads.SOURCES, "cifar10", closed)
    monkeypatch.setenv("BABYSIT_DATA", str(tmp_path / "empty"))
    monkeypatch.setenv(downloads.DOWNLOAD_VARIABLE, "")
    assert_refused(babysit("check", "cifar10"), "cifar-10", "BABYSIT_DATA")
    assert_refused(babysit("check", "cifar10", "--download"), "127.0.0.1:9", "cifar-10-python.tar.gz")

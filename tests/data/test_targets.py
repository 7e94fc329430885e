"""Targets: labels keep their numbers, codes and texts are numbered in sorted order."""

from __future__ import annotations

import numpy as np
import pytest

from babysit.data.targets import as_labels, as_values, check_task, numbered
from babysit.errors import DataError


def test_codes_are_numbered_in_order():
    labels, names = numbered(np.array([10.0, 9.0, 2.5, 10.0]))
    assert (labels.tolist(), names) == ([2, 1, 0, 2], ("2.5", "9", "10"))
    assert numbered(np.array(["b", "a"]))[1] == ("a", "b")


def test_labels_keep_their_numbers():
    labels, names = as_labels(np.array([3.0, 0.0]), "mine")
    assert (labels.tolist(), names) == ([3, 0], ("0", "1", "2", "3"))


@pytest.mark.parametrize("values", [[0.5], [np.nan], [np.inf]])
def test_labels_must_be_whole(values):
    with pytest.raises(DataError, match="mine: the labels are not whole numbers"):
        as_labels(np.array(values), "mine")


def test_values_must_be_numbers():
    with pytest.raises(DataError, match="the first is"):
        as_values(np.array(["high"]), "mine")


def test_only_three_tasks_exist():
    check_task("auto")
    with pytest.raises(DataError, match="no task 'cluster'"):
        check_task("cluster")


@pytest.mark.parametrize(
    "values",
    [np.array([b"\xff\xfe"]), np.frombuffer(b"\xff" * 8, "<U2"), np.frombuffer(b"\xff\xff\xff\x7f", "<U1")],
)
def test_labels_that_are_no_text_are_refused(values):
    with pytest.raises(DataError, match="mine: the labels are not text"):
        as_labels(values, "mine")


def test_labels_in_bytes_are_utf8():
    labels, names = as_labels(np.array(["é".encode(), b"a"]), "mine")
    assert (labels.tolist(), names) == ([1, 0], ("a", "é"))

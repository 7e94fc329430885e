"""Pickles of arrays: every protocol reads, nothing in them runs."""

from __future__ import annotations

import io
import pickle
import pickletools

import numpy as np
import pytest

from babysit.data.pickles import load_arrays


def load(content: bytes) -> dict[str, object]:
    return load_arrays(io.BytesIO(content))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["u1", "<i8", ">i4", "<f4", "?"])
def test_arrays_of_every_protocol_read(protocol, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    content = pickle.dumps({"data": array, "columns first": np.asfortranarray(array)}, protocol=protocol)
    read = load(content)
    for value in read.values():
        assert value.dtype == array.dtype
        assert np.array_equal(value, array)


def test_the_names_of_old_numpy_read():
    content = pickle.dumps({b"data": np.arange(3, dtype=np.uint8)}, protocol=2)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert old != content
    assert load(old)["data"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "value",
    [
        len,  # not print, which Ray replaces in a process that used it
        io.BytesIO,
        np.array([len], dtype=object),
        np.zeros(2, dtype=[("a", "i4")]),
        np.random.default_rng(0),
    ],
    ids=["function", "class", "object array", "fields", "generator"],
)
def test_anything_else_is_refused(value):
    with pytest.raises(pickle.UnpicklingError, match=r"not allowed|not read"):
        load(pickle.dumps({"data": value}))


def test_a_codec_other_than_latin1_is_refused():
    content = pickle.dumps({"data": np.arange(3, dtype=np.uint8)}, protocol=2).replace(b"latin1", b"rot_13")
    assert any(argument == "rot_13" for _, argument, _ in pickletools.genops(content))
    with pytest.raises(pickle.UnpicklingError, match="codec"):
        load(content)


def test_a_shape_that_does_not_fit_the_bytes_is_refused():
    content = pickle.dumps({"data": np.arange(3, dtype=np.uint8)}, protocol=5)
    at = content.index(b"K\x03\x85")
    with pytest.raises(pickle.UnpicklingError, match="reshape"):
        load(content[:at] + b"K\x09\x85" + content[at + 3 :])


def test_a_pickle_of_something_else_than_a_dictionary_is_refused():
    with pytest.raises(ValueError, match="holds a list"):
        load(pickle.dumps([1]))

"""Devices by name; what is not there is an error with its fix."""

from __future__ import annotations

import pytest
import torch

from babysit.errors import InputError
from babysit.training.devices import device_named


def with_gpus(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_device_that_is_there(monkeypatch, name, gpus, expected):
    with_gpus(monkeypatch, gpus)
    assert device_named(name) == expected


@pytest.mark.parametrize(("name", "gpus"), [("cuda", 0), ("cuda:2", 2), ("cuda:7", 1)])
def test_a_gpu_that_is_not_there(monkeypatch, name, gpus):
    with_gpus(monkeypatch, gpus)
    with pytest.raises(InputError, match=r"(?s)is not there.*--device cpu"):
        device_named(name)


@pytest.mark.parametrize("name", ["tpu", "", "cuda:x", "CPU", "cuda:-1"])
def test_an_unknown_name_lists_the_known_ones(monkeypatch, name):
    with_gpus(monkeypatch, 1)
    with pytest.raises(InputError, match="auto, cpu, cuda"):
        device_named(name)

"""Precisions: all switches are restored, and the remark states the gain on this machine."""

from __future__ import annotations

import itertools

import pytest
import torch

from babysit.errors import InputError
from babysit.recipe.building import prepare
from babysit.recipe.loading import load_recipe
from babysit.recipe.space import middle
from babysit.training import precision
from babysit.training.precision import (
    FLOAT32,
    PRECISION_NAMES,
    PRECISIONS,
    forward_context,
    gain,
    precise,
    precision_named,
    remark,
)

BACKENDS = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv)


def switches():
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:  # torch refuses to read it where its newer switches say something else
        older = "unreadable"
    return (older, precision._older(), *(backend.fp32_precision for backend in BACKENDS))


@pytest.fixture(autouse=True)
def _as_found():
    """Leaves torch as it was, whatever a test did."""
    newer = [backend.fp32_precision for backend in BACKENDS]
    yield
    torch.set_float32_matmul_precision("highest")
    for backend, value in zip(BACKENDS, newer, strict=True):
        backend.fp32_precision = value


OLDER = ("highest", "high", "medium")
NEWER = (
    ("none", "none", "none"),
    ("ieee", "bf16", "none"),
    ("tf32", "none", "bf16"),
    ("none", "tf32", "bf16"),
)


@pytest.mark.parametrize(("older", "newer"), list(itertools.product(OLDER, NEWER)))
@pytest.mark.parametrize("name", PRECISION_NAMES)
def test_every_switch_is_put_back(name, older, newer):
    torch.set_float32_matmul_precision(older)
    for backend, value in zip(BACKENDS, newer, strict=True):
        backend.fp32_precision = value
    before = switches()
    assert before[1] == older
    with precise(name):
        # Readable inside: a user's code or torch.compile may ask.
        assert torch.get_float32_matmul_precision() == precision_named(name).matmul
    assert switches() == before


def test_put_back_after_an_exception_and_when_nested():
    before = switches()
    with precise("medium"):
        with precise(FLOAT32):
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
        assert torch.backends.mkldnn.conv.fp32_precision == "bf16"
    with pytest.raises(ZeroDivisionError), precise("medium"):
        raise ZeroDivisionError
    assert switches() == before


def test_float32_means_float32_even_where_the_process_asked_for_less():
    torch.set_float32_matmul_precision("medium")
    with precise(FLOAT32):
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.parametrize("call", [precision_named, remark, lambda name: forward_context(name)])
@pytest.mark.parametrize("name", ["float16", "", "Medium"])
def test_an_unknown_name_is_refused_with_the_list(call, name):
    with pytest.raises(
        InputError, match=r"no precision named .*\n  fix: use one of .*medium, bfloat16, auto"
    ):
        call(name)
    with pytest.raises(InputError, match="no precision named"), precise(name):
        pass


def test_the_forward_context_casts_for_bfloat16_only():
    x = torch.ones(4, 4)
    for name in PRECISION_NAMES:
        with forward_context(name):
            expected = torch.bfloat16 if name == "bfloat16" else torch.float32
            assert (x @ x).dtype is expected
    assert (x @ x).dtype is torch.float32


def test_vmap_computes_in_bfloat16_too():
    weights, x = torch.randn(3, 8, 5), torch.randn(7, 8)
    with forward_context("bfloat16"):
        found = torch.vmap(lambda w: x @ w)(weights)
    assert found.dtype is torch.bfloat16


class Machine:
    """A processor with or without matrix units, on which the products gain so much."""

    def __init__(self, monkeypatch, units, gains):
        monkeypatch.setattr(precision, "_capabilities", lambda: {"avx512_f": True, "amx_bf16": units})
        monkeypatch.setattr(precision, "gain", lambda name, device="cpu": gains)


@pytest.mark.parametrize(
    ("units", "gains", "chosen", "words"),
    [
        (False, 9.0, "float32", "auto chose float32: this processor has no matrix units"),
        (
            True,
            1.1,
            "float32",
            "auto chose float32: medium makes matrix products 1.1 x as fast here, less than 1.2",
        ),
        (True, 2.7, "medium", "auto chose medium: medium makes matrix products 2.7 x as fast here"),
    ],
)
def test_auto_takes_medium_only_where_it_pays(monkeypatch, units, gains, chosen, words):
    Machine(monkeypatch, units, gains)
    assert precision_named("auto").name == chosen
    assert remark("auto") == words


def test_the_remark_says_that_there_is_nothing_to_gain_without_matrix_units(monkeypatch):
    Machine(monkeypatch, False, 1.1)
    assert remark("medium") == (
        "this processor has no matrix units: medium computes like float32, use float32"
    )
    assert "no faster, use float32" in remark("bfloat16")
    assert remark(FLOAT32) == ""


def test_the_remark_says_what_is_gained_with_matrix_units(monkeypatch):
    Machine(monkeypatch, True, 2.72)
    assert remark("medium") == "medium: matrix products 2.7 x as fast as float32's, measured here"


def test_the_gain_is_measured_once():
    first = gain("medium")
    assert first > 0
    assert gain("medium") == first
    assert gain.cache_info().hits >= 1


def trained(name):
    prepared = prepare(load_recipe("digits"), seed=0, precision=name)
    values = {**middle(prepared.recipe.full_space()), "learning_rate": 1e-3}
    trainer = prepared.trainer([(values, ("trial", 0, number)) for number in range(2)], 1)
    (report,) = prepared.reports(trainer, steps=20)
    return trainer, report


def test_a_population_trains_in_bfloat16_with_float32_weights_and_costs():
    ours, theirs = trained("bfloat16"), trained(FLOAT32)
    assert {value.dtype for value in ours[0].weights(0).values()} == {torch.float32}
    difference = abs(ours[1].costs[0] - theirs[1].costs[0]) / theirs[1].costs[0]
    assert 0 < difference.max() < 0.05
    assert ours[1].readings[0].val_accuracy == pytest.approx(theirs[1].readings[0].val_accuracy, abs=0.1)


def test_a_population_trains_in_medium_to_the_rounding_of_this_machine():
    costs = [trained(name)[1].costs[0] for name in ("medium", FLOAT32)]
    assert abs(costs[0] - costs[1]).max() / costs[1].max() < 0.05


def test_preparing_decides_auto_and_refuses_what_it_does_not_know(monkeypatch):
    Machine(monkeypatch, True, 3.0)
    assert prepare(load_recipe("digits"), seed=0, precision="auto").precision == "medium"
    with pytest.raises(InputError, match="no precision named 'half'"):
        prepare(load_recipe("digits"), seed=0, precision="half")


def test_every_precision_says_what_it_does():
    assert all(row.about and row.name == name for name, row in PRECISIONS.items())

"""The population size is measured once for a machine and a network, and remembered."""

from __future__ import annotations

import json

import pytest

from babysit.errors import RecipeError
from babysit.recipe.building import prepare
from babysit.recipe.loading import apply_settings, load_recipe
from babysit.tuning.engines import calibration
from babysit.tuning.engines.calibration import SIZES, calibrate, chosen


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "user_cache_dir", lambda name: str(tmp_path / name))
    return tmp_path / "babysit" / "calibration"


def prepared_of(*settings):
    return prepare(apply_settings(load_recipe("digits"), settings), seed=0)


VALUES = {"learning_rate": 1e-2, "l2": 1e-3, "hidden": 20, "batch_size": 100}


def test_it_measures_and_remembers(cache, monkeypatch):
    prepared = prepared_of()
    found = calibrate(prepared, VALUES)
    assert found.size in found.rates
    assert set(found.rates) <= set(SIZES)
    assert all(rate > 0 for rate in found.rates.values())
    assert found.size == chosen(found.rates)
    monkeypatch.setattr(calibration, "_rates", lambda *_: pytest.fail("measured again"))
    assert calibrate(prepared, {**VALUES, "learning_rate": 1e-4}) == found


@pytest.mark.parametrize("other", [{"hidden": 21}, {"batch_size": 50}])
def test_another_network_or_batch_is_measured_anew(cache, other):
    prepared = prepared_of()
    calibrate(prepared, VALUES)
    calibrate(prepared, {**VALUES, **other})
    assert len(list(cache.iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "{", "[]", '{"size": "x", "rates": {}, "threads_pay": 0}', "null"])
def test_a_damaged_memory_costs_a_measurement_only(cache, text):
    prepared = prepared_of()
    calibrate(prepared, VALUES)
    (file,) = cache.iterdir()
    file.write_text(text)
    assert calibrate(prepared, VALUES).size in SIZES
    assert json.loads(file.read_text())["size"] in SIZES


def test_no_place_to_remember_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "babysit").write_text("a file where the folder should be")
    monkeypatch.setattr(calibration, "user_cache_dir", lambda name: str(tmp_path / name))
    assert calibrate(prepared_of(), VALUES).size in SIZES


def test_many_small_networks_share_a_step_and_large_ones_need_not(cache):
    """64-20-10 at one member a step is all overhead."""
    assert calibrate(prepared_of(), VALUES).size >= 8


def test_what_the_model_raises_is_told(cache):
    prepared = prepared_of()
    with pytest.raises(RecipeError, match="wide"):
        calibrate(prepared, {**VALUES, "hidden": "wide"})

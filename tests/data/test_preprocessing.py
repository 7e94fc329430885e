"""Preprocessing: against scikit-learn, against its own inverse, and on degenerate columns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from babysit.data.preprocessing import ChannelMean, LearnedStatistics, MeanImage, Standardize, chunks
from babysit.errors import DataError

STEPS = [MeanImage(), ChannelMean(), Standardize(), Standardize(per="channel")]
named = pytest.mark.parametrize("step", STEPS, ids=repr)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (400, 3, 5, 7), dtype=np.uint8)


def test_mean_image_is_the_mean_over_rows(images):
    assert np.array_equal(MeanImage().fit(images).mean_, images.astype(np.float64).mean(axis=0))


def test_channel_mean_is_the_mean_over_rows_and_pixels(images):
    expected = images.astype(np.float64).mean(axis=(0, 2, 3))
    np.testing.assert_allclose(ChannelMean().fit(images).mean_, expected, rtol=1e-14)


def test_statistics_do_not_depend_on_the_chunks(monkeypatch, images):
    whole = Standardize().fit(images)
    monkeypatch.setattr("babysit.data.preprocessing.CHUNK_VALUES", 1000)
    assert len(list(chunks(images))) > 40
    parts = Standardize().fit(images)
    np.testing.assert_allclose(parts.mean_, whole.mean_, rtol=1e-14)
    np.testing.assert_allclose(parts.scale_, whole.scale_, rtol=1e-14)


def test_standardize_agrees_with_scikit_learn():
    x = np.random.default_rng(0).normal(5, 3, (500, 8)) * np.logspace(-3, 3, 8)
    ours, theirs = Standardize().fit(x), StandardScaler().fit(x)
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.scale_, theirs.scale_, rtol=1e-12)
    np.testing.assert_allclose(ours.transform(x), theirs.transform(x), atol=1e-5)


def test_standardize_per_channel_gives_each_channel_mean_0_and_deviation_1(images):
    out = Standardize(per="channel").fit_transform(images).astype(np.float64)
    np.testing.assert_allclose(out.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(axis=(0, 2, 3)), 1, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3e6, 1e-30, 1e300], ids=str)
def test_a_constant_column_survives_as_zero(value):
    x = np.column_stack([np.full(100_003, value), np.arange(100_003)])
    step = Standardize().fit(x)
    assert step.scale_[0] == 1
    assert (step.transform(x)[:, 0] == 0).all()


def test_a_constant_image_survives_per_channel():
    x = np.full((50, 2, 3, 3), 0.1)
    assert np.abs(Standardize(per="channel").fit_transform(x)).max() < 1e-6


def test_a_column_of_large_numbers_keeps_its_precision():
    seconds = 1.6e9 + np.arange(100.0)[:, None]  # float32 cannot tell these apart
    expected = StandardScaler().fit_transform(seconds)
    np.testing.assert_allclose(Standardize().fit_transform(seconds), expected, atol=1e-5)


@named
def test_the_inverse_undoes_the_transform(step, images):
    fitted = clone(step).fit(images)
    np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(images)), images, atol=1e-3)


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 5)), elements=st.floats(-1e4, 1e4)),
    st.sampled_from([MeanImage, Standardize]),
)
@settings(max_examples=60, deadline=None)
def test_the_inverse_undoes_the_transform_on_any_table(x, kind: type[LearnedStatistics]):
    step = kind().fit(x)
    np.testing.assert_allclose(step.inverse_transform(step.transform(x)), x, rtol=1e-5, atol=1e-2)


@named
def test_a_fitted_step_can_be_stored(step, images):
    fitted = clone(step).fit(images)
    again = type(step).from_state(fitted.state(), **fitted.get_params())
    assert np.array_equal(again.transform(images), fitted.transform(images))


@named
def test_output_is_float32_and_input_is_untouched(step, images):
    before = images.copy()
    out = clone(step).fit_transform(images)
    assert out.dtype == np.float32
    assert out.shape == images.shape
    assert np.array_equal(before, images)


@named
def test_transform_before_fit_says_what_to_do(step, images):
    with pytest.raises(DataError, match=r"has not been fitted yet\n  fix: call .*fit"):
        clone(step).transform(images)


@named
def test_rows_of_another_shape_are_refused(step, images):
    fitted = clone(step).fit(images)
    with pytest.raises(DataError, match="was fitted on examples of shape"):
        fitted.transform(images[:, :2])


@named
@pytest.mark.parametrize(
    ("x", "problem"),
    [
        (np.zeros((0, 3, 2, 2)), "must have shape"),
        (np.zeros(3), "must have shape"),
        (np.full((2, 3, 2, 2), np.nan), "NaN or infinite"),
        (np.full((2, 3, 2, 2), np.inf), "NaN or infinite"),
        (np.full((2, 3, 2, 2), "a"), "must be numbers"),
    ],
    ids=["empty", "one axis", "nan", "infinite", "text"],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_rows_that_cannot_be_fitted_are_refused(step, x, problem):
    with pytest.raises(DataError, match=problem):
        clone(step).fit(x)


@pytest.mark.parametrize("step", [ChannelMean(), Standardize(per="channel")], ids=repr)
def test_channels_need_images(step):
    with pytest.raises(DataError, match="needs images"):
        step.fit(np.zeros((4, 3)))


def test_an_unknown_parameter_is_refused():
    with pytest.raises(DataError, match="its parameters are: per"):
        Standardize().set_params(axis=1)
    with pytest.raises(DataError, match="no per='row'"):
        Standardize(per="row").fit(np.zeros((2, 2)))


def test_parameters_follow_scikit_learns_contract(images):
    step = Standardize().set_params(per="channel")
    assert repr(step) == "Standardize(per='channel')"
    fitted = step.fit(images)
    unfitted = clone(fitted)
    assert unfitted.get_params() == {"per": "channel"}
    assert unfitted.state() == {}


def test_steps_work_in_a_scikit_learn_pipeline():
    rng = np.random.default_rng(0)
    x = rng.normal(100, 5, (200, 4))
    y = (x[:, 0] > 100).astype(int)
    pipeline = make_pipeline(MeanImage(), Standardize(), LogisticRegression()).fit(x, y)
    assert pipeline.score(x, y) > 0.95
    assert clone(pipeline).fit(x, y).predict(x).shape == (200,)
    only_steps = make_pipeline(MeanImage(), Standardize()).fit(x)
    np.testing.assert_allclose(only_steps.transform(x), StandardScaler().fit_transform(x), atol=1e-4)
    np.testing.assert_allclose(only_steps.inverse_transform(only_steps.transform(x)), x, atol=1e-3)

"""Histograms as one picture: no count is lost, every column is the newest histogram, empty stays empty."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from babysit.records import Histogram
from babysit.views.data.lines import step_axis
from babysit.views.svg.heatmap import heatmap, heatmap_png, heatmap_svg, quantile, rebinned

RNG = np.random.default_rng(0)


def histogram(step=1, low=-1.0, high=1.0, counts=None, bins=40):
    counts = RNG.integers(0, 50, bins) if counts is None else np.asarray(counts)
    edges = np.linspace(low, high, len(counts) + 1, dtype=np.float32)
    return Histogram("activations/1", step, edges, counts.astype(np.int32))


def slow_twin(one, edges):
    """Every old bin cut by every new one; what lies outside goes to the nearest end."""
    found = np.zeros(len(edges) - 1)
    bounds = [*edges]
    for index, count in enumerate(one.counts.tolist()):
        left, right = float(one.edges[index]), float(one.edges[index + 1])
        for place in range(len(found)):
            low = -np.inf if place == 0 else bounds[place]
            high = np.inf if place == len(found) - 1 else bounds[place + 1]
            found[place] += count * max(0.0, min(right, high) - max(left, low)) / (right - left)
    return found


@given(
    st.lists(st.integers(0, 1000), min_size=1, max_size=20),
    st.floats(-5, 5),
    st.floats(0.1, 10),
    st.floats(-5, 5),
    st.floats(0.1, 10),
    st.integers(1, 30),
)
def test_rebinning_equals_a_slow_twin_and_loses_nothing(counts, low, width, start, length, bins):
    one = histogram(low=low, high=low + width, counts=counts)
    edges = np.linspace(start, start + length, bins + 1)
    found = rebinned(one, edges)
    assert found.sum() == pytest.approx(sum(counts))
    np.testing.assert_allclose(found, slow_twin(one, edges), rtol=1e-6, atol=1e-6 * max(1, sum(counts)))


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(sum), st.floats(0, 1))
def test_a_quantile_has_its_share_below_it(counts, share):
    one = histogram(counts=counts)
    place = quantile(one, share)
    below = rebinned(one, np.array([-10.0, place, 10.0]))[0] if place > -10 else 0.0
    assert below == pytest.approx(share * sum(counts), abs=1e-3 * sum(counts))


def test_every_column_is_the_newest_histogram_and_holds_all_its_mass():
    steps = [10, 20, 70]
    found = [histogram(step, counts=np.eye(5)[index] * 9) for index, step in enumerate(steps)]
    data = heatmap(found, step_axis(100), rows=25, columns=100)
    sums = data.shares.sum(axis=0)
    assert (sums[:9] == 0).all()
    np.testing.assert_allclose(sums[10:], 1)
    newest = [next((step for step in reversed(steps) if step <= column + 1), 0) for column in range(100)]
    for before, after in ((10, 18), (19, 60), (70, 99)):
        assert newest[before] == newest[after]
        np.testing.assert_array_equal(data.shares[:, before], data.shares[:, after])
    assert not np.array_equal(data.shares[:, 15], data.shares[:, 30])


def test_the_axis_shows_the_tails_but_not_one_stray_value():
    counts = np.zeros(1000)
    counts[:10] = 10_000
    counts[-1] = 1
    data = heatmap([histogram(low=0.0, high=1000.0, counts=counts)], step_axis(10))
    assert data.y.high < 15
    assert data.shares[:, -1].sum() == pytest.approx(1)


def test_nothing_counted_is_no_picture():
    assert heatmap([], step_axis(10)) is None
    assert heatmap([histogram(counts=[0, 0])], step_axis(10)) is None


def test_the_picture_is_small_dark_where_the_mass_is_and_clear_where_there_is_none():
    counts = [0, 0, 100, 1, 0]
    data = heatmap([histogram(1, counts=counts)], step_axis(10), rows=50, columns=200)
    png = heatmap_png(data)
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    assert pixels.shape == (50, 200, 4)
    assert len(png) < 8000
    alpha = pixels[::-1, 100, 3].astype(int)  # the lowest value first, as in the data
    deepest = int(np.argmax(data.shares[:, 100]))
    assert alpha[deepest] == alpha.max() > 200
    assert ((alpha > 0) == (data.shares[:, 100] > 0)).all()


def test_a_name_that_is_markup_stays_text():
    data = heatmap([histogram()], step_axis(10))
    assert "<script>" not in heatmap_svg(data, "<script>alert(1)</script>")

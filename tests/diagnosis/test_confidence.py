"""How sure a detector is: what was counted, weighed with a prior for those that rarely spoke."""

from __future__ import annotations

import json

import pytest

from babysit.diagnosis import confidence
from babysit.diagnosis.confidence import WEIGHT, Count, confidence_of, counts, prior


@pytest.fixture
def table(monkeypatch, tmp_path):
    """Replaces the table of counts for one test."""

    def written(**rows):
        monkeypatch.setattr(confidence, "files", lambda package: tmp_path)
        (tmp_path / confidence.TABLE).write_text(
            json.dumps({key.replace("__", "."): rows[key] for key in rows})
        )
        forget()

    def forget():
        for cached in (counts, prior):
            cached.cache_clear()

    yield written
    monkeypatch.undo()
    forget()


def test_the_table_is_read_as_counts(table):
    table(checks__one=[4, 3], watching__other=[0, 0])
    assert counts() == {"checks.one": Count(named=4, right=3), "watching.other": Count(named=0, right=0)}


def test_the_prior_is_the_share_that_was_right_over_all_detectors_of_all_doors(table):
    table(checks__one=[6, 3], checks__other=[4, 4], watching__one=[10, 1])
    assert prior() == 8 / 20
    assert confidence_of("readings.one") == 0.4


def test_without_any_count_nothing_is_known(table):
    table()
    assert prior() == 0.5
    assert confidence_of("checks.one") == 0.5
    table(checks__one=[0, 0])
    assert prior() == 0.5


@pytest.mark.parametrize(
    ("named", "right"), [(1, 0), (1, 1), (2, 2), (10, 9), (100, 0), (100, 100), (1000, 500)]
)
def test_what_was_counted_is_weighed_with_the_prior(table, named, right):
    table(checks__one=[named, right], checks__other=[10, 8])
    prior = (right + 8) / (named + 10)
    expected = (right + WEIGHT * prior) / (named + WEIGHT)
    assert confidence_of("checks.one") == pytest.approx(expected, abs=0.005)
    assert confidence_of("checks.one") == round(confidence_of("checks.one"), 2)


def test_one_case_proves_little_and_many_decide(table):
    table(checks__few=[1, 1], checks__many=[200, 200], checks__wrong=[199, 0])
    assert prior() == pytest.approx(201 / 400)
    assert confidence_of("checks.few") == pytest.approx((1 + WEIGHT * 201 / 400) / (1 + WEIGHT), abs=0.005)
    assert confidence_of("checks.few") < 0.65
    assert confidence_of("checks.many") > 0.98
    assert confidence_of("checks.wrong") < 0.02


@pytest.mark.parametrize("detector", ["checks.unknown", "checks.", "checks", ""])
def test_an_unknown_detector_is_as_sure_as_all_together(table, detector):
    table(checks__one=[8, 6], watching__one=[8, 2])
    assert confidence_of(detector) == 0.5


def test_the_table_that_is_shipped_can_be_read():
    found = counts()
    assert all(0 <= count.right <= count.named for count in found.values())
    assert all(key.partition(".")[0] in ("checks", "watching", "readings") for key in found)
    assert all(0 <= confidence_of(key) <= 1 for key in found)

"""The confidences that the reasoner uses, and the names that both doors give: measured on all programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.faults import FAULTY, FIELD, ISSUES

from babysit.checks.detectors import DETECTORS as CHECKS
from babysit.diagnosis import confidence
from babysit.diagnosis.catalogue import CATALOGUE
from babysit.diagnosis.problem import Effect
from babysit.readings.detectors import DETECTORS as READINGS
from babysit.watching.detectors import DETECTORS as WATCH
from benchmarks import faults

TABLE = json.loads(Path(confidence.__file__).with_name(confidence.TABLE).read_text())


def test_the_table_holds_counts_of_known_detectors():
    assert set(TABLE) <= {detector.key for detector in (*CHECKS, *WATCH, *READINGS)}
    assert all(0 <= right <= named for named, right in TABLE.values())
    assert sum(named for named, _ in TABLE.values()) > 250


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.filterwarnings("ignore")  # torch's own, at what these programs do
def test_the_table_is_what_the_benchmark_counts_and_both_doors_give_one_name():
    found = faults.calibrate()
    # Chaotic programs end otherwise on another processor: one or two may name another cause there.
    apart = {
        key: (TABLE.get(key), found.counts.get(key))
        for key in TABLE.keys() | found.counts.keys()
        if abs(TABLE.get(key, [0, 0])[0] - found.counts.get(key, [0, 0])[0]) > 1
        or abs(TABLE.get(key, [0, 0])[1] - found.counts.get(key, [0, 0])[1]) > 1
    }
    assert not apart, "run `python -m benchmarks.faults --calibrate`"
    # That it does not learn is a symptom at either door, and names no fault.
    symptoms = {"", *(name for name, each in CATALOGUE.items() if each.effect is Effect.LEARNS_NOTHING)}
    programs = [*map(faults.of_zoo, FAULTY), *(program for program in (*FIELD, *ISSUES) if program.faulty)]
    both = {
        program.name: found.first[program.name]
        for program in programs
        if found.first[program.name].get("check", "") in {*program.accepted("check")} - symptoms
        and found.first[program.name]["watch"] in {*program.accepted("watch")} - symptoms
    }
    assert len(both) >= 60
    assert {name: first for name, first in both.items() if len(set(first.values())) > 1} == {}

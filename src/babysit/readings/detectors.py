"""Every question that is asked of a run's readings, in the order of asking."""

from __future__ import annotations

from babysit.diagnosis.problem import Detector, detectors_in
from babysit.readings import levels, shapes
from babysit.readings.context import Readings

DETECTORS: tuple[Detector[Readings], ...] = detectors_in(levels, shapes)

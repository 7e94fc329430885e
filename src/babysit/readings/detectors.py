"""The detectors of a run's readings, in the order in which they run."""

from __future__ import annotations

from babysit.diagnosis.problem import Detector, detectors_in
from babysit.readings.context import Readings
from babysit.readings.detect import chance, course, explosion, generalization, learning_rate

DETECTORS: tuple[Detector[Readings], ...] = detectors_in(
    explosion, learning_rate, chance, generalization, course
)

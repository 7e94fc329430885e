"""Every question that the watch asks of a run, in the order of asking."""

from __future__ import annotations

from babysit.diagnosis.problem import Detector, detectors_in
from babysit.watching.detect import course, data, layers, loop, loss, output, processes, validation
from babysit.watching.sample import Log

DETECTORS: tuple[Detector[Log], ...] = detectors_in(
    processes, loop, output, data, loss, course, layers, validation
)

OF_LAYERS: tuple[Detector[Log], ...] = detectors_in(layers)
"""The questions about layers alone; a recorded trial's readings answer the others."""

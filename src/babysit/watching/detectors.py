"""All detectors of the watch, in their order."""

from __future__ import annotations

from babysit.diagnosis.problem import Detector, detectors_in
from babysit.watching.detect import course, data, layers, loop, loss, output, processes, validation
from babysit.watching.sample import WatchLog

DETECTORS: tuple[Detector[WatchLog], ...] = detectors_in(
    processes, loop, output, data, loss, course, layers, validation
)

OF_LAYERS: tuple[Detector[WatchLog], ...] = detectors_in(layers)
"""Detectors of layers alone; for a recorded trial the detectors of readings do the rest."""

"""The detectors of :func:`babysit.check`, in the order in which they run."""

from __future__ import annotations

from babysit.checks.detect import (
    gradient,
    inputs,
    labels,
    learning,
    lookahead,
    loss,
    norms,
    outputs,
    rate_range,
    sign,
    splits,
    start,
    wiring,
)
from babysit.checks.measured import Measured
from babysit.diagnosis.problem import Detector, detectors_in

DETECTORS: tuple[Detector[Measured], ...] = detectors_in(
    inputs,
    outputs,
    wiring,
    norms,
    lookahead,
    sign,
    gradient,
    loss,
    splits,
    start,
    labels,
    learning,
    rate_range,
)

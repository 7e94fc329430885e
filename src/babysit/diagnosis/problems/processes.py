"""Problems of several processes, and of the watch itself."""

from __future__ import annotations

from babysit.diagnosis.problem import BROKEN, Problem
from babysit.verdicts import Severity

OTHER_PROCESS_RAISED = Problem(
    name="other_process_raised",
    summary="Another process of the training ended with an exception.",
    fix="read that rank's traceback; the other ranks only miss it",
    source="torch.distributed: collectives wait for all",
    severity=Severity.ERROR,
    produces=BROKEN,
    explains=("loop_raised", "other_process_not_finite"),
    formerly=("rank_raised",),
)
OTHER_PROCESS_NOT_FINITE = Problem(
    name="other_process_not_finite",
    summary="The loss is NaN or infinite on some processes before it is on the others.",
    fix="look at what that rank alone is given: its share of the data, its device",
    source="torch DDP: gradients are averaged, so that one rank's NaN is everybody's a step later",
    severity=Severity.ERROR,
    produces=BROKEN,
    figures=("loss",),
    formerly=("rank_not_finite",),
)
WATCH_FAILED = Problem(
    name="watch_failed",
    summary="The watch itself raised exceptions, which it kept from the loop.",
    fix="the run is untouched, but some quantities are missing; please report it",
    source="babysit",
    severity=Severity.INFO,
)

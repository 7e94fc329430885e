"""The conditions under which the checks of a program can answer."""

from __future__ import annotations

from babysit.checks.measured import Measured
from babysit.diagnosis.problem import Need

RUNS = Need[Measured](lambda measured: measured.runs, "the program does not run")
OPTIMIZER = Need[Measured](
    lambda measured: bool(measured.program.optimizers), "no optimizer was given", applies=False
)
VALIDATION = Need[Measured](
    lambda measured: bool(measured.program.val_batches), "no validation batches were given", applies=False
)

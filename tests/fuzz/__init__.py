"""Inputs at random for every surface; see docs/reliability.md, "Fuzzing"."""

from .data_files import SURFACES as DATA

SURFACES = (*DATA,)

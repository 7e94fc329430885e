"""Detectors on a run's readings, one module per subject."""

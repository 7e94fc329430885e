"""Detectors of the checks, one module a subject."""

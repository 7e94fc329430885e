"""Detectors of the watch, one module a subject."""

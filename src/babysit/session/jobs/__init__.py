"""Trainings, searches and verifications: from a request to a stored study."""

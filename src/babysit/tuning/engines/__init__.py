"""Engines that train the trials of a search: this machine, or a Ray cluster."""

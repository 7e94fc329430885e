"""Hyperparameter search: stages, samplers, pruning, engines, and the judgement of results."""

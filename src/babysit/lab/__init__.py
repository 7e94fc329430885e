"""The lecture's experiments, redone with measured numbers beside theory: one file an experiment."""

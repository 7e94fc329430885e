"""The room that wires all others: jobs, commands, models, exchange and the public functions."""

"""The one room that wires all others: a job becomes checks, a training or a search, kept in a store."""

"""The training loop: a population of models of one architecture, trained together."""

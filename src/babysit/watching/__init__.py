"""Door 2: a training loop that runs, sampled without disturbing it."""

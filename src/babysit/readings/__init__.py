"""Door 3: the diagnosis of numbers that a training printed or recorded, without the model."""

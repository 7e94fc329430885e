"""Door 3: numbers that a training printed or recorded, diagnosed without the model."""

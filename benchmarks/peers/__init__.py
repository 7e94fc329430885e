"""The peers of the search benchmark: programs that read a task and write what they trained."""

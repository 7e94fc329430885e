"""What is told about a program, a run or a log: one report, its words, and SARIF for machines."""

"""What benchmarks/durability.py kills, how, and what is looked at after each kill."""

"""The parts of benchmarks/store.py: who writes, who looks, what it all takes."""

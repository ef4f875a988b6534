"""Benchmarks of speed and memory on real data, each figure with a limit: ``make bench``."""

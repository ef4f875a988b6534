"""Speed and memory on real data, each figure against a stated limit: ``make bench``."""

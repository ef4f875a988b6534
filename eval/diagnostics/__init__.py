"""Findings that the metrics hide: copies, gender, loss of the index, impossible figures."""

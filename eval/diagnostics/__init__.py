"""Diagnostics beyond the metrics: benchmark facts, gender, index loss, implausible figures."""

"""Offline evaluation of systems on benchmarks: runs, metrics, tables and reports."""

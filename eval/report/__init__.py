"""A report of results as one HTML file that needs no network."""

from eval.report.page import write_report

__all__ = ["write_report"]

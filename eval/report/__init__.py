"""One HTML file with everything that results tell, readable without a network."""

from eval.report.page import write_report

__all__ = ["write_report"]

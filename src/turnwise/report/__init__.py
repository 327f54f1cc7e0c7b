"""Run artifacts to one offline HTML file."""

from turnwise.report.build import build_report

__all__ = ["build_report"]

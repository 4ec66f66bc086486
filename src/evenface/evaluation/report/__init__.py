"""The page of `evenface evaluate --report`: one file, nothing loaded from elsewhere."""

from evenface.evaluation.report.page import write_report

__all__ = ["write_report"]

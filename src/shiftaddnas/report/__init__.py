"""What a run found, for people: Pareto front, tables, figures and a page. Everything is read from run folders.

The drawing libraries are imported when something is drawn.
"""

from shiftaddnas.report.figures import write_figures
from shiftaddnas.report.page import write_page, write_report
from shiftaddnas.report.pareto import write_pareto
from shiftaddnas.report.summary import print_summary, print_training_summary

__all__ = ["print_summary", "print_training_summary", "write_figures", "write_page", "write_pareto", "write_report"]

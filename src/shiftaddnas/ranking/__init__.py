"""How well scores rank archs: common archs trained alone, supernets that score them, and rank correlations of the two.

Nothing here knows the command line; `shiftaddnas rank` is a shell around it.
"""

from shiftaddnas.ranking.correlation import KINDS, Floats, correlations, resampled_correlations
from shiftaddnas.ranking.figures import Scatter, write_scatter
from shiftaddnas.ranking.page import write_study
from shiftaddnas.ranking.results import StudyResults, agreement_rows, as_plain, write_rows
from shiftaddnas.ranking.standalone import StandaloneTraining
from shiftaddnas.ranking.statistics import ALL, Agreement, Analysis, Estimate, Scored, Statistics, agreement, analyse
from shiftaddnas.ranking.study import Study, scored_by, trained_alone
from shiftaddnas.ranking.summary import agreement_table, print_study
from shiftaddnas.ranking.supernets import SupernetFile, SupernetScoring, find_supernets, scheme_names
from shiftaddnas.ranking.table import Comparison, ScoreTable, compare, read_table

__all__ = [
    "ALL",
    "KINDS",
    "Agreement",
    "Analysis",
    "Comparison",
    "Estimate",
    "Floats",
    "Scatter",
    "ScoreTable",
    "Scored",
    "StandaloneTraining",
    "Statistics",
    "Study",
    "StudyResults",
    "SupernetFile",
    "SupernetScoring",
    "agreement",
    "agreement_rows",
    "agreement_table",
    "analyse",
    "as_plain",
    "compare",
    "correlations",
    "find_supernets",
    "print_study",
    "read_table",
    "resampled_correlations",
    "scheme_names",
    "scored_by",
    "trained_alone",
    "write_rows",
    "write_scatter",
    "write_study",
]

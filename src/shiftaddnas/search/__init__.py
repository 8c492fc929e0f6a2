"""Search algorithms, and the loop that runs them. Nothing here needs torch."""

from shiftaddnas.search.evolution import EvolutionSearcher
from shiftaddnas.search.feasibility import Feasibility
from shiftaddnas.search.generational import GenerationalSearcher
from shiftaddnas.search.limits import Limit, Limits, split_limits
from shiftaddnas.search.nsga2 import Nsga2Searcher
from shiftaddnas.search.pareto import Objectives, best, hypervolume, pareto_front
from shiftaddnas.search.random_search import RandomSearcher
from shiftaddnas.search.record import Record
from shiftaddnas.search.run import Evaluator, follow_search, run_search
from shiftaddnas.search.search_log import SearchLog, read_records
from shiftaddnas.search.searcher import Origin, Proposal, Result, Searcher

__all__ = [
    "Evaluator",
    "EvolutionSearcher",
    "Feasibility",
    "GenerationalSearcher",
    "Limit",
    "Limits",
    "Nsga2Searcher",
    "Objectives",
    "Origin",
    "Proposal",
    "RandomSearcher",
    "Record",
    "Result",
    "SearchLog",
    "Searcher",
    "best",
    "follow_search",
    "hypervolume",
    "pareto_front",
    "read_records",
    "run_search",
    "split_limits",
]

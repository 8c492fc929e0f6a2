"""What may be chosen: archs as data, and spaces as decision graphs that price themselves."""

from shiftaddnas.spaces.arch import Arch, Choice, as_choice, read_choices, write_arch
from shiftaddnas.spaces.automaton import Automaton, CodedArchs
from shiftaddnas.spaces.space import Decision, Law, Space, Term

__all__ = [
    "Arch",
    "Automaton",
    "Choice",
    "CodedArchs",
    "Decision",
    "Law",
    "Space",
    "Term",
    "as_choice",
    "read_choices",
    "write_arch",
]

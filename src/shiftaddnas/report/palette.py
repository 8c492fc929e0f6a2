"""Colours and marks that figures and page share: the palette of Okabe and Ito, which colour-blind readers can tell
apart, and a shape for each thing besides.
"""

CANDIDATE = "#9AA0A6"
FRONT = "#D55E00"
WINNER = "#D55E00"
INK = "#202124"

# Colour, matplotlib marker, plotly symbol.
ORIGINS = {
    "random": ("#56B4E9", "o", "circle"),
    "mutation": ("#009E73", "^", "triangle-up"),
    "crossover": ("#CC79A7", "s", "square"),
}
OTHER_ORIGIN = ("#9AA0A6", "x", "x")
BASELINES = {
    "all-multiplication": ("#0072B2", "s", "square"),
    "all-cheap": ("#009E73", "D", "diamond"),
}
OTHER_BASELINE = ("#202124", "v", "triangle-down")
# Colour and matplotlib marker of lines without a meaning of their own.
SERIES = (("#D55E00", "o"), ("#0072B2", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"))
OPERATIONS = {"num_mults": "#0072B2", "num_adds": "#E69F00", "num_shifts": "#009E73"}

OPERATORS = {"shift": "#009E73", "add": "#E69F00", "conv": "#0072B2", "attention": "#CC79A7"}
"""By what an operator's name contains; of a mixture, the part that saves most comes first."""
OTHER_OPERATOR = "#56B4E9"
FIXED = "#E8EAED"
"""Of the parts of a network that are not chosen."""
DARK = ("#0072B2",)
"""What is written on these is white."""


def operator_family(name: str) -> str | None:
    """The key of `OPERATORS` that an operator belongs to."""
    return next((family for family in OPERATORS if family in name), None)


def operator_color(name: str) -> str:
    family = operator_family(name)
    return OTHER_OPERATOR if family is None else OPERATORS[family]

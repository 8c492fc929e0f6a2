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
OPERATIONS = {"num_mults": "#0072B2", "num_adds": "#E69F00", "num_shifts": "#009E73"}

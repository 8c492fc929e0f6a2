"""How the operators of a supernet share their kernels, and the regulariser that goes with it."""

from shiftaddnas.sharing.interface import SlotKernels, WeightSharing
from shiftaddnas.sharing.maps import divergence, piecewise_linear
from shiftaddnas.sharing.released import Released
from shiftaddnas.sharing.schemes import SCHEMES, Heterogeneous, Independent, Quantile, Shared

__all__ = [
    "SCHEMES",
    "Heterogeneous",
    "Independent",
    "Quantile",
    "Released",
    "Shared",
    "SlotKernels",
    "WeightSharing",
    "divergence",
    "piecewise_linear",
]

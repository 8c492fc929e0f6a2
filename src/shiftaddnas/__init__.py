"""Hardware-aware search of hybrid networks that mix multiplications with bitwise shifts and additions."""

__version__ = "0.1.0"

"""How numbers are shown to people."""

import math
from collections.abc import Sequence

PREFIXES = ("", "k", "M", "G", "T", "P", "E")
UNITS = {"mj": "mJ", "ms": "ms", "bytes": "B"}


def significant(value: float, digits: int = 3) -> str:
    """At least so many significant digits, without an exponent where the number is readable without one."""
    if not math.isfinite(value):
        return str(value)
    if value == 0:
        return "0"
    return _fixed(value, digits) if _readable(value, digits) else f"{value:.{digits - 1}e}"


def _exponent(value: float, digits: int) -> int:
    return int(f"{value:.{digits - 1}e}".partition("e")[2])


def _readable(value: float, digits: int) -> bool:
    return value == 0 or not math.isfinite(value) or -4 <= _exponent(value, digits) < 6


def _fixed(value: float, digits: int) -> str:
    return f"{value:.{max(0, digits - 1 - _exponent(value, digits))}f}"


def count(value: float) -> str:
    """Three significant digits with a decimal prefix: 12.3 k, 4.56 M; whole numbers below a thousand as they are."""
    if not math.isfinite(value):
        return str(value)
    magnitude, prefix = abs(value), 0
    while float(f"{magnitude:.3g}") >= 1000 and prefix < len(PREFIXES) - 1:
        magnitude, prefix = magnitude / 1000, prefix + 1
    sign = "-" if value < 0 else ""
    return f"{sign}{magnitude:.0f}" if prefix == 0 else f"{sign}{significant(magnitude)} {PREFIXES[prefix]}"


def cost_title(name: str) -> tuple[str, str]:
    """What a cost is and its unit, from its name: energy_mj is ("energy", "mJ"), num_params is ("params", "")."""
    words = name.removeprefix("num_").split("_")
    unit = UNITS.get(words[-1], "") if len(words) > 1 else ""
    return " ".join(words[:-1] if unit else words), unit


def cost_value(name: str, value: float) -> str:
    """A cost as it stands in a table, whose heading has the unit."""
    return count(value) if _is_count(name) else significant(value)


def _is_count(name: str) -> bool:
    return name.startswith("num_") or name.endswith("_bytes")


def cost_column(name: str, values: Sequence[float | None]) -> list[str]:
    """Values of one cost in one notation, so that they can be compared at a glance; what is missing is a dash."""
    known = [value for value in values if value is not None]
    if all(_readable(value, 3) for value in known) or _is_count(name):
        return ["-" if value is None else cost_value(name, value) for value in values]
    return ["-" if value is None else f"{value:.2e}" for value in values]


def metric_value(name: str, unit: str, value: float | None) -> str:
    """A score with its unit. An accuracy without one is a share, shown in percent; what is missing is a dash."""
    if value is None:
        return "-"
    if is_share(name, unit):
        return f"{100 * value:.2f} %"
    if unit == "%":
        return f"{value:.2f} %"
    return f"{significant(value, 4)} {unit}".rstrip()


def is_share(name: str, unit: str) -> bool:
    return unit == "" and "accuracy" in name


def duration(seconds: float) -> str:
    """Seconds as 42 s, 3 min 20 s or 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

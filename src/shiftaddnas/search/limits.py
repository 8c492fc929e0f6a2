"""Limits on costs: what a searched arch may cost, read from settings such as `search.max_energy_mj=0.5`.

A limit is checked against the exact range and distribution of the space before the search begins, so that an
impossible one is refused, and a tight one remarked on, at once. Which archs keep the limits is decided in
feasibility.py.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import BoundCost, CostError, Metric

PREFIXES = ("max_", "min_")
# A number that is typed in is seldom the float that a cost is.
ROUNDING = 1e-9
TIGHT = 0.01
"""A limit that leaves a smaller share of the archs is remarked on."""


@dataclass(frozen=True)
class Limit:
    """The least and the greatest value of a metric that are allowed."""

    metric: Metric
    least: float = 0.0
    most: float = math.inf

    def allows(self, value: float) -> bool:
        least, most = self.range
        return least <= value <= most

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value, with room for rounding."""
        return self.least * (1 - ROUNDING), self.most * (1 + ROUNDING)

    def __str__(self) -> str:
        parts = [f"{self.metric.name} >= {quantity(self.least, self.metric)}"] if self.least > 0 else []
        parts += [f"{self.metric.name} <= {quantity(self.most, self.metric)}"] if self.most < math.inf else []
        return " and ".join(parts)


@dataclass(frozen=True)
class Limits:
    """All limits of a search, and remarks for the user on those that exclude nothing, or nearly everything."""

    limits: tuple[Limit, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " and ".join(str(limit) for limit in self.limits)

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], cost: BoundCost, space_name: str) -> "Limits":
        """Limits from `max_<metric>` and `min_<metric>`: a number in the metric's unit, a share such as "60%" of the
        greatest value that any arch of the space has, or None for no limit.

        Raises:
            UserError: an unknown metric, a malformed or negative value, a minimum above the maximum, or a limit that no
                arch of the space keeps.
        """
        settings = {name: value for name, value in settings.items() if value is not None}
        extremes, notes = _extremes(cost) if settings else ({}, [])
        numbers: dict[str, float] = {}
        for setting, value in settings.items():
            metric = _metric(setting, cost)
            numbers[setting] = _number(setting, value, metric, extremes.get(metric.name))
            if metric.name in extremes:
                notes += _check_range(setting, value, numbers[setting], metric, extremes[metric.name], space_name)
        limits = []
        for metric in cost.metrics:
            least, most = f"min_{metric.name}", f"max_{metric.name}"
            limit = Limit(metric, numbers.get(least, 0.0), numbers.get(most, math.inf))
            if limit.least > limit.most:
                raise UserError(
                    f"search.{least}={settings[least]} is above search.{most}={settings[most]}; "
                    "lower the first or raise the second"
                )
            if limit.least > 0 or limit.most < math.inf:
                limits.append(limit)
                what = " with ".join(f"search.{name}={settings[name]}" for name in (least, most) if name in settings)
                if metric.name in extremes and not all(map(limit.allows, extremes[metric.name])):
                    notes += _check_share(what, limit, cost, space_name)
        return cls(tuple(limits), tuple(notes))


def split_limits(settings: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """The limits among the settings of a search (`max_...` and `min_...`), and the rest."""
    limits = {name: value for name, value in settings.items() if name.startswith(PREFIXES)}
    return limits, {name: value for name, value in settings.items() if name not in limits}


def quantity(value: float, metric: Metric) -> str:
    """A value with its unit, for people: four digits, a count as a whole number."""
    return f"{value:.4g} {metric.unit}" if metric.unit else f"{value:.0f}"


def _extremes(cost: BoundCost) -> tuple[dict[str, tuple[float, float]], list[str]]:
    try:
        return cost.extremes(), []
    except CostError as error:
        return {}, [f"the range of the space is unknown, limits are not checked against it: {error}"]


def _metric(setting: str, cost: BoundCost) -> Metric:
    for metric in cost.metrics:
        if setting in (f"max_{metric.name}", f"min_{metric.name}"):
            return metric
    allowed = ", ".join(f"{metric.name} ({metric.unit or 'count'})" for metric in cost.metrics)
    raise UserError(f"search.{setting} limits no metric of hardware {cost.name}; its metrics: {allowed}")


def _number(setting: str, value: object, metric: Metric, extremes: tuple[float, float] | None) -> float:
    """The limit in the unit of its metric."""
    unit = f" in {metric.unit}" if metric.unit else ""
    text = value.strip() if isinstance(value, str) else value
    try:
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise ValueError
        is_share = isinstance(text, str) and text.endswith("%")
        number = float(text[:-1] if isinstance(text, str) and is_share else text)
        if not (math.isfinite(number) and number >= 0):
            raise ValueError
    except ValueError:
        raise UserError(
            f"search.{setting}={value} is not a limit; allowed: a number >= 0{unit}, a share such as 60%, or null"
        ) from None
    if not is_share:
        return number
    if extremes is None:
        raise UserError(
            f"search.{setting}={value} is a share of the greatest {metric.name}, which is not known here; "
            f"give a number{unit}"
        )
    return number / 100 * extremes[1]


def _check_range(
    setting: str, value: object, limit: float, metric: Metric, extremes: tuple[float, float], space_name: str
) -> list[str]:
    """Refuse a limit that no arch keeps; remark on one that every arch keeps."""
    low, high = extremes
    is_max = setting.startswith("max_")
    allowed = Limit(metric, most=limit).allows(low) if is_max else Limit(metric, least=limit).allows(high)
    if not allowed:
        extreme = _outward(low, metric, up=True) if is_max else _outward(high, metric, up=False)
        which, rule = ("cheapest", "at least") if is_max else ("dearest", "at most")
        raise UserError(
            f"search.{setting}={value} is impossible: the {which} arch of space {space_name} has "
            f"{metric.name} = {extreme}; allow {rule} that"
        )
    if (limit >= high) if is_max else (limit <= low):
        span = f"{quantity(low, metric)} to {quantity(high, metric)}"
        return [f"search.{setting}={value} excludes nothing: every arch of space {space_name} has {span}"]
    return []


def _check_share(what: str, limit: Limit, cost: BoundCost, space_name: str) -> list[str]:
    """Refuse limits between which there is no arch; remark on those that leave few."""
    distribution = cost.distribution(limit.metric.name)
    if distribution is None:
        return []
    least, most = limit.range
    num, total = distribution.num_between(least, most), distribution.num_archs
    if distribution.num_between(least - distribution.error, most + distribution.error) == 0:
        raise UserError(f"{what} is impossible: no arch of space {space_name} has {limit}; widen the limits")
    if num >= TIGHT * total:
        return []
    about = "about " if distribution.error else ""
    return [f"{what} leaves {about}{_many(num)} of {_many(total)} archs ({100 * num / total:.2g} %)"]


def _many(num: int) -> str:
    return f"{num:,}" if num < 2**53 else f"{num:.3g}"


def _outward(value: float, metric: Metric, *, up: bool) -> str:
    """The value to four digits, rounded so that it can be set as a limit."""
    if not metric.unit or value == 0:
        return quantity(value, metric)
    step = 10.0 ** (math.floor(math.log10(value)) - 3)
    rounded = (math.ceil if up else math.floor)(value / step) * step
    return quantity(rounded, metric)

"""Which archs a search may propose: those that keep its limits. It counts, so that a search can say why it fails."""

import math

from shiftaddnas.hardware import BoundCost, CostError
from shiftaddnas.search.limits import Limits, quantity
from shiftaddnas.spaces import Arch


class Feasibility:
    """Whether an arch keeps the limits, by its cost.

    An arch that the cost model fails on is not feasible; the model's message is kept, and the search goes on.
    """

    def __init__(self, cost: BoundCost, limits: Limits) -> None:
        self.cost = cost
        self.limits = limits
        self.num_asked = 0
        self.num_passed = 0
        self.num_failed = 0
        self.last_failure: str | None = None
        self.seen: dict[str, tuple[float, float]] = {}
        """The least and the greatest value so far of each limited metric."""

    def __call__(self, arch: Arch) -> bool:
        self.num_asked += 1
        try:
            values = self.cost(arch).values
        except CostError as error:
            self.num_failed += 1
            self.last_failure = str(error)
            return False
        passed = True
        for limit in self.limits.limits:
            name = limit.metric.name
            value = values[name]
            low, high = self.seen.get(name, (math.inf, -math.inf))
            self.seen[name] = min(low, value), max(high, value)
            passed = passed and limit.allows(value)
        self.num_passed += passed
        return passed

    def explain(self) -> str:
        """How many archs passed, and how near to the limits the others came, in one line."""
        rule = f"met {self.limits}" if self.limits.limits else "could be priced"
        parts = [f"{self.num_passed} of {self.num_asked} samples {rule}"]
        for limit in self.limits.limits:
            if limit.metric.name in self.seen:
                low, high = (quantity(value, limit.metric) for value in self.seen[limit.metric.name])
                parts += [f"the smallest {limit.metric.name} seen was {low}"] if limit.most < math.inf else []
                parts += [f"the greatest {limit.metric.name} seen was {high}"] if limit.least > 0 else []
        if self.last_failure is not None:
            parts.append(f"{self.num_failed} failed, the last because {self.last_failure}")
        return "; ".join(parts)

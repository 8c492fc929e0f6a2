"""Networks of mixed precision: each layer is priced by the rules for its bits."""

from collections.abc import Mapping

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.cost import LayerModel
from shiftaddnas.hardware.layer import Layer


class CostByBits(LayerModel):
    """Prices a layer by the model for its bits: of those that hold its activations and weights, the narrowest.

    Args:
        name: for reports.
        models: a model for each precision, by a name of your choice; all with the same metrics.
        bits: what each of them holds.

    Raises:
        UserError: `models` and `bits` do not fit together.
    """

    def __init__(self, name: str, models: Mapping[str, LayerModel], bits: Mapping[str, int]) -> None:
        if not models or set(models) != set(bits):
            raise UserError(f"hardware.bits names {', '.join(bits)}, but hardware.models {', '.join(models)}")
        if len(set(bits.values())) < len(bits) or min(bits.values()) < 1:
            raise UserError(f"hardware.bits={dict(bits)}; give each model a different number of bits, at least 1")
        for one, model in models.items():
            if not isinstance(model, LayerModel):
                raise UserError(f"hardware.models.{one} does not price layers one by one; take one that does")
        self.name = name
        self.metrics, *others = (model.metrics for model in models.values())
        if any(metrics != self.metrics for metrics in others):
            raise UserError(f"hardware.models {', '.join(models)} differ in their metrics; take models of one kind")
        self._by_bits = [(bits[one], models[one]) for one in sorted(models, key=lambda one: bits[one])]

    def price(self, layer: Layer) -> Mapping[str, float]:
        needed = max(layer.act_bits, layer.weight_bits)
        for bits, model in self._by_bits:
            if bits >= needed:
                return model.price(layer)
        raise ValueError(f"it has {needed} bits, the widest rules are for {self._by_bits[-1][0]}")

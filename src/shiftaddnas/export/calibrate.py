"""What the layers of a traced network read on given inputs."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from torch import Tensor, fx

from shiftaddnas.export.taps import geometry_of
from shiftaddnas.export.trace import ADDER
from shiftaddnas.ops import adder_conv2d


def largest_inputs(
    graph: fx.GraphModule, nodes: Collection[fx.Node], batches: Iterable[Sequence[Tensor]]
) -> dict[fx.Node, float]:
    """The largest magnitude that each of these nodes reads as its first argument; NaN where there is one."""
    observer = _Observer(graph, nodes)
    for inputs in batches:
        observer.run(*inputs)
    return {node: max(sizes, key=lambda size: (size != size, size)) for node, sizes in observer.sizes.items()}


class _Observer(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule, nodes: Collection[fx.Node]) -> None:
        super().__init__(graph)
        self.sizes: dict[fx.Node, list[float]] = {node: [] for node in nodes}

    def run_node(self, node: fx.Node) -> Any:
        if node in self.sizes:
            self.sizes[node].append(float(self.env[node.all_input_nodes[0]].abs().max()))
        return super().run_node(node)

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if target is not ADDER:
            return super().call_function(target, args, kwargs)
        x, weight, axes, groups = args
        geometry = geometry_of(axes, groups)
        # By whatever computes adder layers on this machine.
        return adder_conv2d(
            x,
            weight,
            stride=geometry.stride,
            padding=geometry.padding,
            dilation=geometry.dilation,
            groups=groups,
        )

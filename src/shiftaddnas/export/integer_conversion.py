"""From a trained network to one whose shift and adder layers compute with integers.

A convolution or linear layer is a shift layer if all its weights are powers of two or zero: then shifts compute the
same, whatever it was trained as.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from shiftaddnas.errors import UserError
from shiftaddnas.export.calibrate import largest_inputs
from shiftaddnas.export.integer import IntegerNetwork
from shiftaddnas.export.integer_layers import (
    adder_conv2d,
    exponents_and_signs,
    largest_sum,
    scale_exponent,
    shift_conv2d,
    shift_linear,
    to_integers,
)
from shiftaddnas.export.taps import geometry_of
from shiftaddnas.export.trace import ADDER, trace
from shiftaddnas.files import write_atomically

_SHIFTED: dict[Any, Any] = {
    torch.ops.aten.conv2d.default: shift_conv2d,
    torch.ops.aten.linear.default: shift_linear,
}


@torch.no_grad()
def integer_network(network: nn.Module, batches: Iterable[Sequence[Tensor]], *, batch_axis: int = 0) -> IntegerNetwork:
    """A trained network with its shift and adder layers in integers.

    Scales are the least powers of two that hold everything the layer reads in the batches, and an adder's kernel; what
    is larger later is clamped.

    Args:
        batches: inputs of the network from which the scales are taken; the first are the examples of `trace`.

    Raises:
        UserError: the network cannot be traced, has no shift or adder layers, computes what is not finite, or the
            exponents of a shift layer lie too far apart for sums in 64 bits.
    """
    batches = list(batches)
    graph = trace(network, batches[0], batch_axis=batch_axis).graph
    kernels = {node: kernel for node in graph.graph.nodes if (kernel := _kernel(graph, node)) is not None}
    if not kernels:
        raise UserError("the network has no shift or adder layers, so nothing of it would be in integers")
    largest = largest_inputs(graph, kernels, batches)
    for node, kernel in kernels.items():
        replace = _replace_adder if node.target is ADDER else _replace_shift
        replace(graph, node, kernel, largest[node])
    graph.graph.eliminate_dead_code()
    return IntegerNetwork(fx.GraphModule(graph, graph.graph))


def export_integer(network: nn.Module, batches: Iterable[Sequence[Tensor]], path: Path, *, batch_axis: int = 0) -> None:
    """Write a network in integers; `IntegerNetwork.load` reads it. See `integer_network`."""
    write_atomically(path, integer_network(network, batches, batch_axis=batch_axis).to_bytes())


def _kernel(graph: fx.GraphModule, node: fx.Node) -> tuple[Tensor, ...] | None:
    """An adder's weight, or the exponents and signs of a layer of powers of two; None for all other nodes."""
    if node.target is not ADDER and node.target not in _SHIFTED:
        return None
    weight = node.args[1]
    if not isinstance(weight, fx.Node) or weight.op != "get_attr":
        return None
    values = graph.get_buffer(str(weight.target))
    return (values,) if node.target is ADDER else exponents_and_signs(values)


def _replace_adder(graph: fx.GraphModule, node: fx.Node, kernel: tuple[Tensor, ...], largest: float) -> None:
    arguments: Any = node.args
    x, weight, axes, groups = arguments
    geometry = geometry_of(axes, groups)
    scale = scale_exponent(max(largest, float(kernel[0].abs().max())))
    with graph.graph.inserting_before(node):
        integers = _constant(graph, weight, "integers", to_integers(kernel[0], scale))
        sizes = (list(pair) for pair in (geometry.stride, geometry.padding, geometry.dilation))
        _replace(node, adder_conv2d, (x, integers, scale, *sizes, groups))


def _replace_shift(graph: fx.GraphModule, node: fx.Node, kernel: tuple[Tensor, ...], largest: float) -> None:
    x, weight, bias, *geometry = _all_arguments(node)
    exponent, sign = kernel
    if largest_sum(exponent, sign) >= 2**63:
        raise UserError(
            f"{weight.target} has exponents from {int(exponent.min())} to {int(exponent.max())}, whose sums do not fit "
            "64 bits; train it with fewer weight_bits"
        )
    with graph.graph.inserting_before(node):
        exponents = _constant(graph, weight, "exponents", exponent)
        signs = _constant(graph, weight, "signs", sign)
        _replace(node, _SHIFTED[node.target], (x, exponents, signs, scale_exponent(largest), bias, *geometry))


def _all_arguments(node: fx.Node) -> list[Any]:
    """The arguments of a call, with the defaults of those that are not given."""
    target: Any = node.target
    rest = target._schema.arguments[len(node.args) :]
    return [*node.args, *(node.kwargs.get(argument.name, argument.default_value) for argument in rest)]


def _constant(graph: fx.GraphModule, source: fx.Node, what: str, value: Tensor) -> fx.Node:
    """A constant beside the kernel that it was made of; a kernel in several layers may become several."""
    parent, dot, leaf = source.meta.get("origin", str(source.target)).rpartition(".")
    owner, name = graph.get_submodule(parent), f"{leaf}__{what}"
    known = dict(owner.named_buffers(recurse=False))
    while name in known and not torch.equal(known[name], value):
        name += "_"
    owner.register_buffer(name, value)
    return graph.graph.get_attr(f"{parent}{dot}{name}")


def _replace(node: fx.Node, function: Any, arguments: tuple[Any, ...]) -> None:
    node.replace_all_uses_with(node.graph.call_function(function, arguments))
    node.graph.erase_node(node)

"""`torch.export`: a network as a program that PyTorch loads and runs alone, without this framework and its kernels."""

import copy
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from shiftaddnas.export.taps import AdderTaps, geometry_of
from shiftaddnas.export.trace import ADDER, TracedNetwork, trace
from shiftaddnas.export.verify import check_outputs, reference_outputs
from shiftaddnas.files import write_atomically


def portable_program(traced: TracedNetwork) -> ExportedProgram:
    """The network in PyTorch's own operators, with its adder layers unrolled over taps; any batch size."""
    module = copy.deepcopy(traced.graph)
    for node in module.graph.find_nodes(op="call_function", target=ADDER):
        x, weight, axes, groups = node.args
        module.add_submodule(node.name, AdderTaps(module.get_buffer(weight.target), geometry_of(axes, groups)))
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(module.graph.call_module(node.name, (x,)))
        module.graph.erase_node(node)
    module.delete_all_unused_submodules()
    module.recompile()
    with torch.no_grad():
        return torch.export.export(module, traced.examples, dynamic_shapes=traced.dynamic_shapes, strict=False)


def export_program(network: nn.Module, examples: Sequence[Tensor], path: Path, *, batch_axis: int = 0) -> None:
    """Write a network as a `.pt2` file: `torch.export.load(path).module()` runs it.

    Args:
        examples: see `trace`.

    Raises:
        UserError: the network cannot be traced, see `trace`.
        ExportError: the program does not compute what the network computes.
    """
    traced = trace(network, examples, batch_axis=batch_axis)
    buffer = io.BytesIO()
    torch.export.save(portable_program(traced), buffer)
    content = buffer.getvalue()
    loaded = torch.export.load(io.BytesIO(content)).module()
    for inputs in (traced.examples, traced.single):
        check_outputs("the program", loaded(*inputs), reference_outputs(network, inputs))
    write_atomically(path, content)

"""From a network to its graph: the one representation that every export starts from.

In the graph weights are constants (the power-of-two weights of a shift layer, whatever they are kept as), and adder
layers are the opaque operator `shiftaddnas::adder_outputs`.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.graph import CodeGen

from shiftaddnas.errors import UserError
from shiftaddnas.ops import force_adder_backend

ADDER = torch.ops.shiftaddnas.adder_outputs.default


@dataclass(frozen=True)
class TracedNetwork:
    """A network in evaluation mode, float32 on the CPU, and inputs that it takes.

    `graph` has placeholders, constants (get_attr), functions, and one tensor as output.
    """

    graph: fx.GraphModule
    examples: tuple[Tensor, ...]
    batch_axis: int

    @property
    def dynamic_shapes(self) -> tuple[dict[int, torch.export.Dim], ...]:
        """What `torch.export.export` is told of the inputs: the batch may have any size."""
        return _dynamic_shapes(self.examples, self.batch_axis)

    @property
    def single(self) -> tuple[Tensor, ...]:
        """The first of the examples alone, a batch of one."""
        return tuple(example.narrow(self.batch_axis, 0, 1) for example in self.examples)


@torch.no_grad()
def trace(network: nn.Module, examples: Sequence[Tensor], *, batch_axis: int = 0) -> TracedNetwork:
    """The graph of a network of one output. The network itself is left as it is.

    Args:
        examples: an input for each argument of the network, with the same batch of two or more along `batch_axis`;
            all other sizes become fixed.

    Raises:
        UserError: the examples hold a batch of one, the network has several outputs, or the kernel of an adder layer
            depends on the input.
    """
    examples = tuple(_single(example.detach().cpu()) for example in examples)
    sizes = {example.shape[batch_axis] for example in examples}
    if len(sizes) != 1 or sizes <= {0, 1}:
        raise UserError(
            f"examples of batch {sorted(sizes)} do not show which sizes vary; give all the same, of two or more"
        )
    network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    with force_adder_backend("native"):
        program = torch.export.export(
            network, examples, dynamic_shapes=_dynamic_shapes(examples, batch_axis), strict=False
        )
    graph = _with_constants_folded(program.module())
    return TracedNetwork(graph, examples, batch_axis)


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _dynamic_shapes(examples: tuple[Tensor, ...], batch_axis: int) -> tuple[dict[int, torch.export.Dim], ...]:
    batch = torch.export.Dim("batch", min=1)
    return tuple({batch_axis: batch} for _ in examples)


_WITHOUT_EFFECT = (torch.ops.aten._assert_tensor_metadata.default, torch.ops.aten.promote_types.default)


def _with_constants_folded(module: fx.GraphModule) -> fx.GraphModule:
    """The module with everything that depends on constants alone computed, and without checks and conversions."""
    graph = copy.deepcopy(module.graph)
    graph.set_codegen(CodeGen())  # flat inputs, flat output
    known: dict[fx.Node, Any] = {}
    for node in list(graph.nodes):
        if node.op == "get_attr":
            known[node] = _attribute(module, str(node.target))
        elif node.op == "call_module" or node.target in _WITHOUT_EFFECT:
            assert not node.users
            graph.erase_node(node)
        elif node.op == "output":
            _single_output(node)
        elif node.op == "call_function":
            if node.target is torch.ops.aten.to.dtype and node.meta["val"].dtype == node.args[0].meta["val"].dtype:
                node.replace_all_uses_with(node.args[0])
                graph.erase_node(node)
            elif _is_constant(node, known):
                _fold(node, known)
            elif node.target is ADDER and node.args[1] not in known:
                raise UserError("the kernel of an adder layer depends on the input; export takes fixed kernels")
    graph.eliminate_dead_code()
    constants = {str(node.target): value for node, value in known.items() if node.op == "get_attr" and node.users}
    return fx.GraphModule(constants, graph)


def _attribute(module: nn.Module, name: str) -> Tensor:
    parent, _, leaf = name.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(parent), leaf)
    return tensor.detach()


def _single_output(node: fx.Node) -> None:
    (outputs,) = node.args
    if not isinstance(outputs, Sequence) or len(outputs) != 1:
        raise UserError(f"the network gives {outputs}; export takes networks that give one tensor")
    node.args = (outputs[0],)


def _is_constant(node: fx.Node, known: Mapping[fx.Node, Any]) -> bool:
    is_random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
    return all(source in known for source in node.all_input_nodes) and not is_random


def _fold(node: fx.Node, known: dict[fx.Node, Any]) -> None:
    """Compute a node; a tensor becomes a constant, which notes the parameter, the first of many, that it came from."""
    sources = node.all_input_nodes
    args, kwargs = fx.map_arg((node.args, node.kwargs), known.__getitem__)
    assert callable(node.target)
    value = node.target(*args, **kwargs)
    origin = sources[0].meta.get("origin", str(sources[0].target)) if sources else "constant"
    if not isinstance(value, Tensor):  # several tensors, of which others take one
        known[node] = value
        node.meta["origin"] = origin
        return
    with node.graph.inserting_before(node):
        constant = node.graph.get_attr(f"{origin}__{node.name}")
    constant.meta = {"val": value, "origin": origin}
    known[constant] = value
    node.replace_all_uses_with(constant)
    node.graph.erase_node(node)

"""A graph of tensor functions as plain data, and back: lists, dicts, strings, numbers and tensors, nothing to execute.

Read back, a call can only be one of PyTorch's own operators or one of the functions that the reader names.
"""

import keyword
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

# What sizes are computed with, beside tensors.
_ARITHMETIC = {
    f"operator.{function.__name__}": function
    for function in (operator.add, operator.sub, operator.mul, operator.floordiv, operator.getitem)
}


def to_plain(module: fx.GraphModule, functions: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """The graph as {"inputs", "constants", "calls", "output"}, values going by name.

    A call is {"name", "function", "args", "kwargs"}; in the arguments {"value": name} is an input, a constant or the
    result of an earlier call.

    Args:
        functions: what may be called beside PyTorch's operators, by name.
    """
    names = {function: name for name, function in {**_ARITHMETIC, **functions}.items()}
    inputs, constants, calls = [], {}, []
    output: Any = None
    for node in module.graph.nodes:
        if node.op == "placeholder":
            inputs.append(node.name)
        elif node.op == "get_attr":
            constants[node.name] = module.get_buffer(node.target)
        elif node.op == "output":
            output = _plain(node.args[0])
        else:
            assert node.op == "call_function", node.format_node()
            function = names.get(node.target) or str(node.target)
            assert function in _ARITHMETIC or function in functions or function.startswith("aten."), function
            calls.append(
                {"name": node.name, "function": function, "args": _plain(node.args), "kwargs": _plain(node.kwargs)}
            )
    return {"inputs": inputs, "constants": constants, "calls": calls, "output": output}


def from_plain(plain: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> fx.GraphModule:
    """The module of a graph that `to_plain` has written.

    Raises:
        KeyError, ValueError, AttributeError: it is no such graph.
    """
    _check_names([*plain["inputs"], *plain["constants"], *(name for call in plain["calls"] for name in call["kwargs"])])
    graph = fx.Graph()
    nodes = {name: graph.placeholder(name) for name in plain["inputs"]}
    constants: dict[str, Tensor] = plain["constants"]
    nodes |= {name: graph.get_attr(name) for name in constants}
    for call in plain["calls"]:
        function = {**_ARITHMETIC, **functions}.get(call["function"]) or _aten(call["function"])
        args, kwargs = _unplain(call["args"], nodes), _unplain(call["kwargs"], nodes)
        nodes[call["name"]] = graph.call_function(function, tuple(args), kwargs)
    graph.output(_unplain(plain["output"], nodes))
    return fx.GraphModule(dict(constants), graph)


def _check_names(names: Iterable[Any]) -> None:
    """Refuse what is no plain name: torch.fx writes names into the code that it runs."""
    for name in names:
        if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f"{name!r} is no name")


def _aten(name: str) -> Callable[..., Any]:
    namespace, operator_name, overload = name.split(".")
    if namespace != "aten":
        raise ValueError(f"{name} is no operator of PyTorch")
    function: Callable[..., Any] = getattr(getattr(torch.ops.aten, operator_name), overload)
    return function


def _plain(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"value": value.name}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    assert value is None or isinstance(value, bool | int | float | str), value
    return value


def _unplain(value: Any, nodes: Mapping[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_unplain(item, nodes) for item in value]
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"value"}:
        return nodes[value["value"]]
    if set(value) == {"torch"}:
        constant = getattr(torch, value["torch"])
        if not isinstance(constant, torch.dtype | torch.layout | torch.memory_format):
            raise ValueError(f"torch.{value['torch']} is no type, layout or memory format")
        return constant
    if set(value) == {"device"}:
        return torch.device(value["device"])
    return {key: _unplain(item, nodes) for key, item in value.items()}

"""The kernels of a network's operators as arrays: what their distributions are looked at with."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shiftaddnas.ops import OPERATORS, AdderConv2d, AdderLinear, KernelOperator, ShiftConv2d, ShiftLinear
from shiftaddnas.sharing import SlotKernels

MULTIPLYING: dict[type[nn.Module], str] = {nn.Conv1d: "conv", nn.Conv2d: "conv", nn.Linear: "linear"}
CHEAP: dict[type[nn.Module], str] = {
    AdderConv2d: "add",
    AdderLinear: "add",
    ShiftConv2d: "shift",
    ShiftLinear: "shift",
}
"""The layers of one operator, and how it is called."""
EXPONENT_AND_SIGN = ("shift", "sign")
"""The parameters of every layer of DeepShift-PS, whatever its type."""


class Kernel(NamedTuple):
    """The path of the module that holds it, the operator that computes with it, and (some of) its weights, flat."""

    path: str
    operator: str
    weights: NDArray[Any]


@torch.no_grad()
def read_kernels(network: nn.Module, *, max_weights: int = 20_000) -> Iterator[Kernel]:
    """Every kernel as its operator gets it: behind the maps of the sharing scheme, before it is rounded.

    Read are the kernels of choices (`SlotKernels`), adder and shift layers, and, of networks without choices,
    convolutions and linear layers: around choices these are parts that every arch has. Of an exponent and a sign, as
    DeepShift-PS has them, it is t 2^s. Of a kernel with more than `max_weights` weights, evenly spread ones stand for
    all.
    """
    slots = {path: module for path, module in network.named_modules() if isinstance(module, SlotKernels)}
    inner = {f"{path}.{name}" for path, slot in slots.items() for name, _ in slot.named_modules() if name}
    types = CHEAP if slots else CHEAP | MULTIPLYING
    for path, module in network.named_modules():
        if isinstance(module, SlotKernels) and path not in inner:
            for choice, kernel in module.names():
                operator = _label(choice, module.operators[choice])
                yield Kernel(path, operator, _flat(module.weights(choice, kernel), max_weights))
        own = dict(module.named_parameters(recurse=False))
        if own.keys() >= set(EXPONENT_AND_SIGN):
            yield Kernel(path, "shift", _flat(tuple(own[name] for name in EXPONENT_AND_SIGN), max_weights))
        elif "weight" in own:
            for operator in (name for type_, name in types.items() if isinstance(module, type_)):
                yield Kernel(path, operator, _flat((own["weight"],), max_weights))


def _label(name: str, operator: KernelOperator) -> str:
    """What a choice is called, unless its name is of another operator than computes: layers beside it may share it."""
    named = [known for known in OPERATORS if known in name]
    return name if not named or operator.name in named else operator.name


def _flat(tensors: tuple[Tensor, ...], max_weights: int) -> NDArray[Any]:
    weights = tensors[0] if len(tensors) == 1 else tensors[1].sign() * tensors[0].exp2()
    flat = weights.detach().flatten()
    step = -(-flat.numel() // max_weights)
    array: NDArray[Any] = flat[::step].double().cpu().numpy()
    return array

"""The layers of a network, found by running it once on an input and watching PyTorch's dispatcher.

Whatever a network calls ends there as a few operations, with or without modules of their own. Every tensor is followed
back to the input, or to the parameters alone: so weights are told from data, and parameters find their layer.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shiftaddnas.hardware import Layer
from shiftaddnas.ops import force_adder_backend
from shiftaddnas.tracing.calls import Call, read_call


@dataclass(frozen=True)
class Trace:
    """What a network computes for an input.

    Attributes:
        layers: in the order of execution. Names are those of the modules that compute them, roles their classes.
        notes: what is not in the layers, or not exactly, in words.
    """

    layers: tuple[Layer, ...]
    notes: tuple[str, ...]


@torch.no_grad()
def trace_layers(network: nn.Module, *inputs: Any) -> Trace:
    """The layers of a network in evaluation mode, of convolutions, linear layers and matrix products.

    A weight that is computed, and whose values are powers of two, makes a shift layer; `shiftaddnas.ops` knows its
    adder layers. What does not depend on the input is no layer, such as the first step of a recurrent layer that starts
    from zeros. Parameters belong to the layer that reads them, or whose output meets them (normalisations, scales):
    each to the first one.

    Args:
        inputs: the network's arguments, on its device; those in float64 hide adder layers.
    """
    training = [module for module in network.modules() if module.training]
    recorder = _Recorder(network, inputs)
    try:
        network.eval()
        with ExitStack() as stack:
            stack.enter_context(recorder.modules.watched(network))
            stack.enter_context(_without_fused_kernels())
            stack.enter_context(force_adder_backend("native"))
            stack.enter_context(recorder)
            network(*inputs)
    finally:
        for module in training:
            module.training = True
    return recorder.trace()


@contextmanager
def _without_fused_kernels() -> Iterator[None]:
    """Attention and recurrent layers as the matrix products that they are."""
    mha, mkldnn = torch.backends.mha, torch.backends.mkldnn
    before = mha.get_fastpath_enabled(), mkldnn.enabled
    mha.set_fastpath_enabled(False)
    mkldnn.enabled = False  # type: ignore[assignment]  # which has a kernel for a whole recurrent layer
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        mha.set_fastpath_enabled(before[0])
        mkldnn.enabled = before[1]


class _Modules:
    """Which module is running."""

    def __init__(self, network: nn.Module) -> None:
        self._running: list[tuple[str, nn.Module]] = [("", network)]

    @property
    def name(self) -> str:
        name, module = self._running[-1]
        return name or type(module).__name__

    @property
    def kind(self) -> str:
        return type(self._running[-1][1]).__name__

    @contextmanager
    def watched(self, network: nn.Module) -> Iterator[None]:
        with ExitStack() as stack:
            for name, module in network.named_modules():
                enter = module.register_forward_pre_hook(partial(self._enter, name))
                leave = module.register_forward_hook(self._leave)
                stack.callback(enter.remove)
                stack.callback(leave.remove)
            yield

    def _enter(self, name: str, module: nn.Module, _: Any) -> None:
        self._running.append((name, module))

    def _leave(self, *_: Any) -> None:
        self._running.pop()


@dataclass(frozen=True)
class _Source:
    """Where a tensor comes from.

    Attributes:
        params: the parameters that it is computed from, or is, by name; what is an activation has passed them on.
        is_activation: whether it depends on the input.
        layer: of an activation, the number of the last layer before it; -1 for none.
        is_computed: whether it is computed, as opposed to a parameter or a view of one.
    """

    params: frozenset[str] = frozenset()
    is_activation: bool = False
    layer: int = -1
    is_computed: bool = True


@dataclass
class _Sources:
    """The source of each storage: views share it, and what is written into one is in the other."""

    known: dict[int, tuple[StorageWeakRef, _Source]] = field(default_factory=dict)

    def get(self, tensor: Tensor) -> _Source | None:
        found = self.known.get(_storage(tensor).cdata)
        return None if found is None else found[1]

    def set(self, tensor: Tensor, source: _Source) -> None:
        # The reference keeps the storage's address from being used again.
        reference = _storage(tensor)
        self.known[reference.cdata] = reference, source


def _storage(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the layers among the operations that are called while it is active."""

    def __init__(self, network: nn.Module, inputs: Sequence[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.modules = _Modules(network)
        self._num_params = {name: parameter.numel() for name, parameter in network.named_parameters()}
        self._layers: list[Layer] = []
        self._owned: set[str] = set()
        self._notes: dict[str, None] = {}
        self._sources = _Sources()
        for module in network.modules():
            for tensor in _tensors(list(vars(module).values())):
                self._sources.set(tensor, _Source(is_computed=False))
        for name, parameter in network.named_parameters():
            self._sources.set(parameter, _Source(frozenset({name}), is_computed=False))
        for tensor in _tensors(inputs):
            self._sources.set(tensor, _Source(is_activation=True))

    def trace(self) -> Trace:
        rest = [name for name in self._num_params if name not in self._owned]
        if rest:
            shown = ", ".join(rest[:3]) + (" and others" if len(rest) > 3 else "")
            number = sum(self._num_params[name] for name in rest)
            self._notes[f"{number:,} parameters are in no layer ({shown})"] = None
        return Trace(tuple(self._layers), tuple(self._notes))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # in inference mode operations arrive that are made of others
            parts = func.decompose(*args, **kwargs)
        if parts is not NotImplemented:
            return parts
        out = func(*args, **kwargs)
        sources = [self._source(tensor) for tensor in _tensors((args, kwargs))]
        if any(source.is_activation for source in sources):
            number = max(source.layer for source in sources)
            call = self._call(func, args, out)
            if call is not None:
                number = len(self._layers)
                self._add(call)
            if number >= 0:
                self._give(number, frozenset().union(*(source.params for source in sources)))
            source = _Source(is_activation=True, layer=number)
        else:
            source = _Source(frozenset().union(*(source.params for source in sources)))
        for tensor in _tensors(out):
            if func._schema.is_mutable or self._sources.get(tensor) is None:
                self._sources.set(tensor, source)
        return out

    def _source(self, tensor: Tensor) -> _Source:
        source = self._sources.get(tensor)
        if source is None:
            # A number, written in the code; what is larger may be anything, so it is data.
            source = _Source(is_activation=tensor.numel() > 1)
            self._sources.set(tensor, source)
            if source.is_activation:
                self._note(f"uses a tensor of shape {tuple(tensor.shape)} that PyTorch's operations did not compute")
        return source

    def _call(self, func: Any, args: Sequence[Any], out: Any) -> Call | None:
        try:
            call = read_call(func.overloadpacket, args, out, lambda tensor: self._source(tensor).is_activation)
        except NotImplementedError as error:
            self._note(str(error))
            return None
        if call is None and func.namespace not in ("aten", "prim", "prims"):
            self._note(f"{func.overloadpacket} is unknown and not priced")
        return call

    def _add(self, call: Call) -> None:
        layer = replace(call.layer, name=self.modules.name, role=self.modules.kind)
        other = self._sources.get(call.other)
        assert other is not None
        if other.is_activation:
            layer = replace(layer, second_operand="activation")
        if layer.arithmetic == "mult" and other.params and other.is_computed and _is_power_of_two(call.other):
            layer = replace(layer, arithmetic="shift")
        if call.remark:
            self._note(call.remark)
        self._layers.append(layer)

    def _give(self, number: int, params: frozenset[str]) -> None:
        """Count parameters to a layer, unless they are counted already."""
        fresh = params - self._owned
        self._owned |= fresh
        layer = self._layers[number]
        num_params = layer.num_params + sum(self._num_params[name] for name in fresh)
        self._layers[number] = replace(layer, num_params=num_params)

    def _note(self, text: str) -> None:
        self._notes[f"{self.modules.name}: {text}"] = None


def _tensors(values: Any) -> Iterator[Tensor]:
    return (value for value in tree_leaves(values) if isinstance(value, Tensor))


def _is_power_of_two(weight: Tensor) -> bool:
    """Whether all values but the zeros are 2^k or -2^k, and there is one."""
    mantissa, _ = torch.frexp(weight[weight != 0])
    return mantissa.numel() > 0 and bool((mantissa.abs() == 0.5).all())

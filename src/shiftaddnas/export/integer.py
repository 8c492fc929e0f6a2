"""A network in which shift and adder layers compute with integers, and its file.

How a trained network becomes one is in integer_conversion.py, how the layers compute in integer_layers.py. What lies
between them, batch normalisation first of all, is in float32.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from shiftaddnas.errors import UserError
from shiftaddnas.export.integer_layers import adder_conv2d, shift_conv2d, shift_linear
from shiftaddnas.export.plain_graph import from_plain, to_plain

FORMAT = "shiftaddnas integer network, version 1"
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "shift_conv2d": shift_conv2d,
    "shift_linear": shift_linear,
    "adder_conv2d": adder_conv2d,
}


@dataclass(frozen=True)
class IntegerLayer:
    """One layer in integers.

    Attributes:
        name: of its kernel among the network's parameters.
        scale: its input is held as multiples of 2^scale, and so is an adder's kernel.
        bits: that a weight needs: an adder's 16; a shift's sign and exponents, from the lowest used to the highest.
    """

    name: str
    kind: Literal["shift", "add"]
    scale: int
    num_weights: int
    bits: int

    @property
    def packed_bytes(self) -> int:
        """Of the weights side by side without gaps."""
        return (self.num_weights * self.bits + 7) // 8

    @property
    def float32_bytes(self) -> int:
        return 4 * self.num_weights


class IntegerNetwork(nn.Module):
    """A network with shift and adder layers in integers; it takes and gives what the network does, in float32."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: Tensor = self.graph(*inputs)
        return outputs

    @property
    def layers(self) -> list[IntegerLayer]:
        """The layers in integers, in the order in which they are computed."""
        return [self._layer(node) for node in self.graph.graph.nodes if node.target in FUNCTIONS.values()]

    def _layer(self, node: fx.Node) -> IntegerLayer:
        _, kernel, *rest = node.all_input_nodes
        values, name = self._constant(kernel), kernel.name.rpartition("__")[0]
        if node.target is adder_conv2d:
            return IntegerLayer(name, "add", _integer(node.args[2]), values.numel(), 16)
        has_zeros = bool((self._constant(rest[0]) == 0).any())
        num_codes = 2 * (int(values.max()) - int(values.min()) + 1) + has_zeros
        return IntegerLayer(name, "shift", _integer(node.args[3]), values.numel(), (num_codes - 1).bit_length())

    def _constant(self, node: fx.Node) -> Tensor:
        return self.graph.get_buffer(str(node.target))

    def to_bytes(self) -> bytes:
        """The content of its file: tensors and plain data."""
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, "graph": to_plain(self.graph, FUNCTIONS)}, buffer)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> "IntegerNetwork":
        """The network of a file that `export_integer` has written.

        Raises:
            UserError: it is missing, damaged, or another kind of file.
        """
        if not path.is_file():
            raise UserError(f"integer network {path} does not exist")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            if content["format"] != FORMAT:
                raise ValueError(content["format"])
            return cls(from_plain(content["graph"], FUNCTIONS))
        except Exception:  # whatever torch and its graphs say of what is no such file
            raise UserError(f"{path} is no file of the format {FORMAT!r}, or is damaged") from None


def _integer(value: Any) -> int:
    assert isinstance(value, int)
    return value

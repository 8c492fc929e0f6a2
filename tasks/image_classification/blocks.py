"""The choice layers of the image fabric as modules: residual bottleneck blocks around one operator each.

Shapes come from layers.py. Which kernels the operators of a slot share is the sharing scheme's to say: a block asks its
slot's `SlotKernels` for them and owns the rest (normalisations and its depthwise positional kernel).
"""

from collections.abc import Collection, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.ops import Conv, KernelOperator
from shiftaddnas.sharing import Independent, SlotKernels, WeightSharing
from tasks.image_classification.layers import AttentionProduct, Entry, Shapes
from tasks.image_classification.space import Step


class ResidualBlock(nn.Module):
    """A residual bottleneck block: 1x1, depthwise 3x3 (the PEG, which carries the stride), mix, 1x1, plus shortcut.

    The mix is a 3x3 convolution with the block's operator, or self-attention over the map's positions (`head_dim` set).
    Batch normalisation stands behind the PEG, the mix and the last convolution, whose scale starts at 0; the shortcut
    is the identity, or a convolution where width or map change.
    (B, C, H, W) -> (B, width, H / stride, W / stride).
    """

    def __init__(
        self,
        name: str,
        operator: KernelOperator,
        shapes: Shapes,
        level: int,
        entries: Collection[Entry],
        head_dim: int | None,
        attention_product: AttentionProduct,
    ) -> None:
        super().__init__()
        self.name = name
        self.operator = operator
        self.head_dim = head_dim
        self.attention_product = attention_product
        inner, width = shapes.inner(level), shapes.levels[level].width
        pegs = {f"peg_{entry}": (inner, 1, 3, 3) for entry in sorted(entries)}
        self.pegs = Independent().slot({name: operator}, pegs)
        self.peg_biases = nn.ParameterDict()
        if name in shapes.peg_bias:
            self.peg_biases = nn.ParameterDict({peg: nn.Parameter(torch.zeros(inner)) for peg in pegs})
        self.norms1 = nn.ModuleDict({entry: nn.BatchNorm2d(inner) for entry in sorted(entries)})
        self.norm2 = nn.BatchNorm2d(inner)
        self.norm3 = nn.BatchNorm2d(width)
        nn.init.zeros_(self.norm3.weight)
        self.shortcut_norms = nn.ModuleDict(
            {entry: nn.BatchNorm2d(width) for entry in sorted(entries) if entry != "same"}
        )

    def forward(self, x: Tensor, entry: Entry, kernels: SlotKernels) -> Tensor:
        stride = 2 if entry == "down" else 1

        def convolve(x: Tensor, kernel: str, *, stride: int = 1, padding: int = 0) -> Tensor:
            return self.operator.convolve(x, kernels.weights(self.name, kernel), stride=stride, padding=padding)

        peg = f"peg_{entry}"
        y = convolve(x, f"conv1_{entry}")
        y = self.operator.convolve(
            y,
            self.pegs.weights(self.name, peg),
            bias=self.peg_biases.get(peg),
            stride=stride,
            padding=1,
            groups=y.shape[1],
        )
        y = F.relu(self.norms1[entry](y))
        if self.head_dim is None:
            y = convolve(y, "conv2", padding=1)
        else:
            y = attention(convolve(y, "qkv"), self.head_dim, self.attention_product)
        y = self.norm3(convolve(F.relu(self.norm2(y)), "conv3"))
        if entry != "same":
            projected = convolve(x, f"shortcut_{entry}", stride=stride, padding=stride - 1)
            x = F.relu(self.shortcut_norms[entry](projected))
        return F.relu(x + y)


def attention(qkv: Tensor, head_dim: int, product: AttentionProduct = "standard") -> Tensor:
    """Multi-head self-attention over positions: (B, 3 C, H, W), queries, keys and values stacked, -> (B, C, H, W).

    The released code of ShiftAddNAS weights the values by the softmax of queries and keys, summed over the *queries*,
    so that the weights of one output do not sum to 1: product="released".
    """
    batch, channels, height, width = qkv.shape
    heads = channels // 3 // head_dim
    q, k, v = qkv.view(batch, 3, heads, head_dim, height * width).transpose(-1, -2).unbind(1)
    if product == "standard":
        mixed = F.scaled_dot_product_attention(q, k, v)
    else:
        weights = (head_dim**-0.5 * q @ k.transpose(-1, -2)).softmax(-1)
        mixed = weights.transpose(-1, -2) @ v
    return mixed.transpose(-1, -2).reshape(batch, channels // 3, height, width)


class Slot(nn.Module):
    """All operators of one choice layer at one level, and the kernels they share."""

    def __init__(
        self,
        shapes: Shapes,
        level: int,
        steps: Collection[Step],
        operators: Mapping[str, KernelOperator],
        sharing: WeightSharing,
        *,
        attention_product: AttentionProduct = "standard",
    ) -> None:
        super().__init__()
        entries = frozenset(step.entry for step in steps)
        names = sorted({step.operator for step in steps})
        self.kernels = nn.ModuleDict()
        sharers = {name: operators[name] for name in names if name != "attention"}
        if sharers:
            self.kernels["shared"] = sharing.slot(sharers, shapes.kernels(level, entries))
        if "attention" in names:
            self.kernels["attention"] = Independent().slot(
                {"attention": Conv()}, shapes.attention_kernels(level, entries)
            )
        self.blocks = nn.ModuleDict()
        for name in names:
            is_attention = name == "attention"
            operator = Conv() if is_attention else operators[name]
            head_dim = shapes.head_dim if is_attention else None
            self.blocks[name] = ResidualBlock(name, operator, shapes, level, entries, head_dim, attention_product)

    def kernels_of(self, operator: str) -> SlotKernels:
        kernels = self.kernels["attention" if operator == "attention" else "shared"]
        assert isinstance(kernels, SlotKernels)
        return kernels

    def kernel_names(self, step: Step) -> Sequence[str]:
        """The kernels that a step's block asks its slot for."""
        mix = "qkv" if step.operator == "attention" else "conv2"
        shortcut = [f"shortcut_{step.entry}"] if step.entry != "same" else []
        return [*shortcut, f"conv1_{step.entry}", mix, "conv3"]

    def forward(self, x: Tensor, step: Step) -> Tensor:
        out: Tensor = self.blocks[step.operator](x, step.entry, self.kernels_of(step.operator))
        return out

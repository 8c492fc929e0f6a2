"""Networks that the export tests share."""

from typing import Any

import torch
from torch import Tensor, nn

from shiftaddnas.ops import AdderConv2d, AdderLinear, ShiftConv2d, ShiftLinear
from shiftaddnas.spaces import Arch
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.supernet import HybridSubnet

WORKLOAD = ImageWorkload(8, 1, 10)


class EveryLayer(nn.Module):
    """All layers of `shiftaddnas.ops` in both forms, with strides, groups, dilation, bias, and batch norm between."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            AdderConv2d(4, 6, 3, stride=2, padding=1, groups=2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            ShiftConv2d(6, 8, 3, padding=2, dilation=2),
            nn.BatchNorm2d(8),
            ShiftConv2d(8, 8, 3, padding=1, groups=8, bias=False, form="ps"),
            AdderConv2d(8, 8, 3, padding=1, groups=8, bias=False),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 8, 1),
        )
        self.mix = AdderLinear(8, 6)
        self.head = ShiftLinear(6, 3, form="ps")

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y: Tensor = self.head(self.mix(self.features(x_BCHW).mean((2, 3))))
        return y


def lively(network: nn.Module, *inputs: Any) -> nn.Module:
    """Batch norms as after training: the statistics of these inputs, and scales that hide nothing behind them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(*inputs)
    return network.eval()


def mixed(space: HybridSpace) -> Arch:
    """An arch of the digits space with every operator."""
    operators = ("conv", "shift", "add", "shift", "attention", "add")
    return space.arch({"depths": (1, 2, 3)} | {f"layer_{layer}": name for layer, name in enumerate(operators)})


def example(name: str, space: HybridSpace) -> tuple[nn.Module, Tensor]:
    """The network "layers" or "digits" in evaluation mode, with four inputs."""
    torch.manual_seed(0)
    network = EveryLayer() if name == "layers" else HybridSubnet(space, WORKLOAD, mixed(space))
    inputs = torch.randn(32, 4 if name == "layers" else 1, 8, 8)
    return lively(network, inputs), inputs[:4]


def assert_same_logits(logits: Tensor, expected: Tensor) -> None:
    """Within 1e-4 of the largest; the network itself is that far from its value in float64."""
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * max(1.0, float(expected.abs().max())))

"""What every supernet must keep: a subnet taken out of it is the same network."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from shiftaddnas.spaces import Arch
from shiftaddnas.supernets import Supernet


def check_supernet(supernet: Supernet, archs: Iterable[Arch], inputs: Tensor, workload: Any) -> None:
    """Check the invariant of `Supernet` on some archs: outputs, parameters, statistics, gradients, independence.

    Args:
        inputs: a batch for the network.
        workload: what the supernet's space prices its layers for.
    """
    with torch.no_grad():
        supernet.train()
        for arch in archs:  # so that running statistics are not those of fresh networks
            supernet(inputs, arch)
    supernet.eval()
    for arch in archs:
        _check_arch(supernet, arch, inputs, workload)


def _check_arch(supernet: Supernet, arch: Arch, inputs: Tensor, workload: Any) -> None:
    name = supernet.space.describe(arch)
    expected = supernet(inputs, arch)
    with supernet.activate(arch):
        assert torch.equal(supernet(inputs), expected), f"{name}: activate and forward with an arch differ"

    subnet = supernet.extract(arch)
    assert not subnet.training, f"{name}: the extracted network is not in the supernet's mode"
    output = subnet(inputs)
    torch.testing.assert_close(output, expected, msg=lambda text: f"{name}: the extracted network differs: {text}")

    num_params = sum(parameter.numel() for parameter in subnet.parameters())
    priced = sum(layer.num_params for layer in supernet.space.arch_layers(arch, workload))
    assert num_params == priced, f"{name}: the network has {num_params} parameters, its layers say {priced}"

    subnet.train()
    subnet(inputs).square().sum().backward()
    idle = [key for key, parameter in subnet.named_parameters() if parameter.grad is None]
    assert not idle, f"{name}: no gradient reaches {idle}"

    with torch.no_grad():
        for parameter in subnet.parameters():
            parameter.add_(1.0)
    assert torch.equal(supernet(inputs, arch), expected), f"{name}: changing the extracted network changed the supernet"

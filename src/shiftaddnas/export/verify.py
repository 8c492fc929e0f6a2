"""What is written is first shown to compute what the network computes."""

import torch
from torch import Tensor, nn

TOLERANCE = 1e-4


class ExportError(RuntimeError):
    """An exported network does not compute what the network computes: nothing was written."""


@torch.no_grad()
def reference_outputs(network: nn.Module, examples: tuple[Tensor, ...]) -> Tensor:
    """What the network gives in evaluation mode; the network is left in the mode it was in."""
    training = {module: module.training for module in network.modules()}
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
    network.eval()
    try:
        outputs: Tensor = network(*(example.to(device) for example in examples))
    finally:
        for module, mode in training.items():
            module.training = mode
    return outputs.cpu()


def check_outputs(what: str, outputs: Tensor, expected: Tensor) -> None:
    """Compare outputs with the network's own, within `TOLERANCE` of the largest of them (of 1 where that is smaller).

    Raises:
        ExportError: they have another shape or differ by more.
    """
    if outputs.shape != expected.shape:
        raise ExportError(f"{what} gives {tuple(outputs.shape)} where the network gives {tuple(expected.shape)}")
    difference = float((outputs - expected).abs().max()) if expected.numel() else 0.0
    allowed = TOLERANCE * max(1.0, float(expected.abs().max()))
    if not difference <= allowed:  # NaN is no agreement either
        raise ExportError(f"{what} differs from the network by {difference:.3g}, where {allowed:.3g} is allowed")

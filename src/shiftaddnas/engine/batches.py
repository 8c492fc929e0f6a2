"""Batches of data that no Trainer hands out."""

import math
from typing import Any

from lightning_fabric.utilities import move_data_to_device
from lightning_utilities import apply_to_collection
from torch import Tensor, nn


def even_batch_size(num_samples: int, greatest: int) -> int:
    """The batch size, of at most so many samples, that leaves batches about alike.

    Statistics of batch norms are means over batches, in which each batch counts the same.
    """
    return math.ceil(num_samples / math.ceil(num_samples / greatest))


def as_taken_by(network: nn.Module, batch: Any) -> Any:
    """A batch on the network's device, its floating-point tensors of the type of the network's parameters."""
    parameter = next(network.parameters())

    def convert(tensor: Tensor) -> Tensor:
        return tensor.to(parameter.dtype) if tensor.is_floating_point() else tensor

    return apply_to_collection(move_data_to_device(batch, parameter.device), Tensor, convert)

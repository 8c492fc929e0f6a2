"""What a decoder layer remembers from step to step: keys and values, and the window of its lightweight operator.

The batch comes first in every tensor, so that reordering beams is one `index_select` for each.
"""

from torch import Tensor

# keys, values: self-attention's (B, heads, t, D). window: the lightweight operator's last K - 1 inputs (B, K - 1, C).
# cross_keys, cross_values, cross_visible: of the encoder's outputs, computed at the first step.
LayerState = dict[str, Tensor]


def reordered(state: LayerState, order: Tensor) -> LayerState:
    """The state of the rows `order` of the batch."""
    return {name: tensor.index_select(0, order) for name, tensor in state.items()}

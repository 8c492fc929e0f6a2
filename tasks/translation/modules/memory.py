"""What cross attention sees of the encoder: the outputs of its last layer, or of its last two or three."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from tasks.translation.config import CrossSpan


@dataclass
class Memory:
    """Outputs of encoder layers as keys and values.

    Args:
        states: outputs (T, B, C) of the last layers, in their order.
        padding_mask: (B, T), True where the source has no token.
    """

    states: list[Tensor]
    padding_mask: Tensor
    _spans: dict[CrossSpan, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def span(self, span: CrossSpan) -> tuple[Tensor, Tensor]:
        """One after another in time: outputs (S, B, C), and where to look (B, 1, 1, S)."""
        if span not in self._spans:
            num = max(span, 0) + 1
            visible = ~self.padding_mask[:, None, None]
            self._spans[span] = torch.cat(self.states[-num:]), visible.repeat(1, 1, 1, num)
        return self._spans[span]

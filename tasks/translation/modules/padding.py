"""Which positions of a batch of sequences hold no token."""

from typing import NamedTuple

from torch import Tensor


class Padding(NamedTuple):
    """Padded positions, in the forms in which layers read them.

    Attributes:
        mask: (B, T), True where there is no token.
        rows: the same for sequences (time, batch, channels), (T, B, 1).
        visible: (B, 1, 1, T), True where attention finds a key.
    """

    mask: Tensor
    rows: Tensor
    visible: Tensor

    @classmethod
    def of(cls, mask_BT: Tensor) -> "Padding":
        return cls(mask_BT, mask_BT.t().unsqueeze(-1), ~mask_BT[:, None, None])

"""The features of HAT (ACL 2020) as an option of the latency predictor: `predictor.features=transformer`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.latency.features import FEATURES, Features
from shiftaddnas.spaces import Arch, Space
from tasks.translation.features import columns, transformer_features
from tasks.translation.space import TranslationSpace


class TransformerFeatures(Features):
    """Widths, depths, means and operators of a translation network (features.py).

    Raises:
        UserError: the space is of other networks.
    """

    def __init__(self, space: Space[Any, Any]) -> None:
        if not isinstance(space, TranslationSpace):
            raise UserError(f"features=transformer describe translation networks; space {space.name} has none")
        self._space = space
        self.columns = columns(space.shape)

    def __call__(self, arch: Arch) -> NDArray[np.float64]:
        return transformer_features(self._space.config(arch), self._space.shape)


FEATURES["transformer"] = TransformerFeatures

"""Machine translation: the space of hybrid transformers, their supernet, data, decoding and BLEU.

Spaces, archs and prices need no fairseq; what does is imported when it is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tasks.translation.flops_cost import TransformerFlops
from tasks.translation.latency_features import TransformerFeatures
from tasks.translation.released_paths import ReleasedPaths
from tasks.translation.space import TranslationSpace
from tasks.translation.terms import TranslationWorkload

if TYPE_CHECKING:
    from tasks.translation.averaging import AverageLastEpochs
    from tasks.translation.data import TranslationData
    from tasks.translation.task import Translation

__all__ = [
    "AverageLastEpochs",
    "ReleasedPaths",
    "TransformerFeatures",
    "TransformerFlops",
    "Translation",
    "TranslationData",
    "TranslationSpace",
    "TranslationWorkload",
]

_ON_DEMAND = {"AverageLastEpochs": "averaging", "Translation": "task", "TranslationData": "data"}


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ON_DEMAND[name]}"), name)

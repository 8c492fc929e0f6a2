"""Machine translation: the space of hybrid transformers, their supernet, data, decoding and BLEU."""

from tasks.translation.averaging import AverageLastEpochs
from tasks.translation.data import TranslationData
from tasks.translation.flops_cost import TransformerFlops
from tasks.translation.latency_features import TransformerFeatures
from tasks.translation.released_paths import ReleasedPaths
from tasks.translation.space import TranslationSpace
from tasks.translation.task import Translation
from tasks.translation.terms import TranslationWorkload

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

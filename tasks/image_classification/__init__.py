"""Image classification: data, the multi-resolution hybrid fabric with its spaces and supernet, the metric."""

from tasks.image_classification.data import ImageData
from tasks.image_classification.digits import DigitsData
from tasks.image_classification.space import HybridSpace
from tasks.image_classification.task import ImageClassification

__all__ = ["DigitsData", "HybridSpace", "ImageClassification", "ImageData"]

"""Image data: folders by class, raw files of CIFAR and Fashion-MNIST, and the paper's augmentation."""

from tasks.image_classification.data.module import ImageData
from tasks.image_classification.data.transforms import Augmentation

__all__ = ["Augmentation", "ImageData"]

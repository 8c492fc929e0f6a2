"""Mean and deviation of a data set's training images, computed once and kept in the user's cache."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically
from tasks.image_classification.data.sources import BROKEN, Sample, Source
from tasks.image_classification.data.split import by_chance
from tasks.image_classification.data.transforms import CentreCrop, Normalization

NUM_IMAGES = 10_000


def normalization_of(source: Source, samples: Sequence[Sample], mode: str, crop: CentreCrop, key: str) -> Normalization:
    """Of the pixels that evaluation would see of up to 10,000 of these images, drawn by their names.

    Args:
        key: what else, beside the images' names, tells data sets apart, for instance where they lie.

    Raises:
        UserError: none of the images can be read.
    """
    chosen = by_chance(samples, "statistics")[:NUM_IMAGES]
    names = json.dumps([key, mode, crop.size, crop.shorter, [sample.name for sample in chosen]])
    file = _cache() / f"{hashlib.sha256(names.encode()).hexdigest()[:24]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # not there yet, or not ours
        kept = json.loads(file.read_text(encoding="utf-8"))
        return Normalization(tuple(kept["mean"]), tuple(kept["std"]))
    computed = _compute(source, chosen, mode, crop)
    with suppress(OSError):  # without a cache the next run computes them again
        write_atomically(file, json.dumps({"mean": computed.mean, "std": computed.std}) + "\n")
    return computed


def _compute(source: Source, samples: Sequence[Sample], mode: str, crop: CentreCrop) -> Normalization:
    channels = len(Image.new(mode, (1, 1)).getbands())
    total, squares, count = np.zeros(channels), np.zeros(channels), 0
    for sample in samples:
        try:
            image = crop(source.load(sample, mode, crop.shorter))
        except BROKEN:  # reported when a loader comes to it
            continue
        pixels = np.asarray(image, dtype=np.float64).reshape(-1, channels) / 255
        total += pixels.sum(0)
        squares += (pixels**2).sum(0)
        count += len(pixels)
    if not count:
        raise UserError("task.data: none of the training images can be read")
    mean = total / count
    # Images that are all of one colour have no deviation to divide by.
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0)).clip(min=1 / 255)
    return Normalization(tuple(mean.round(6).tolist()), tuple(std.round(6).tolist()))


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "shiftaddnas" / "image_statistics"

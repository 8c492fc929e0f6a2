"""Parts of a data set, held out by class and always alike.

Which images a part gets follows from their names alone: not from the order in which a machine lists them, where the
folder lies, the seed of a run, or a random generator's version.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from shiftaddnas.errors import UserError
from tasks.image_classification.data.sources import PARTS, Sample

SPLIT_NAME = "shiftaddnas-1"


def by_chance(samples: Sequence[Sample], purpose: str) -> list[Sample]:
    """The samples in an order as good as random, which their names alone decide."""
    return sorted(samples, key=lambda sample: hashlib.sha256(f"{purpose}:{sample.name}".encode()).digest())


def held_out(samples: Sequence[Sample], share: float, purpose: str) -> tuple[list[Sample], list[Sample]]:
    """What remains, and what is held out: this share of each class, at least one image, rounded to whole ones."""
    of_class: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        of_class[sample.label].append(sample)
    remaining, held = [], []
    for label in sorted(of_class):
        members = by_chance(of_class[label], f"{SPLIT_NAME}:{purpose}")
        count = max(1, round(len(members) * share))
        held += members[:count]
        remaining += members[count:]
    return sorted(remaining, key=_name), sorted(held, key=_name)


def three_parts(parts: Mapping[str, Sequence[Sample]], val_share: float, test_share: float) -> dict[str, list[Sample]]:
    """Train, val and test. What the source does not tell apart is held out of its training images, test first.

    Raises:
        UserError: a part would have no images of any class, or the training part none of some class.
    """
    whole = {name: sorted(samples, key=_name) for name, samples in parts.items()}
    train = whole.pop("train", None) or whole.pop("all", [])
    for name, share in (("test", test_share), ("val", val_share)):
        if name not in whole:
            train, whole[name] = held_out(train, share, name)
    made = {"train": train, "val": whole["val"], "test": whole["test"]}
    labels = {sample.label for part in parts.values() for sample in part}
    for name in PARTS:
        if not made[name]:
            raise UserError(f"task.data: the {name} part has no images; put some there, or see task.data.{name}_share")
    if lacking := labels - {sample.label for sample in made["train"]}:
        raise UserError(
            f"task.data: the training part has no image of class number {min(lacking)}; a class needs at least one "
            "image more than is held out of it"
        )
    return made


def _name(sample: Sample) -> str:
    return sample.name

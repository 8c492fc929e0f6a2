"""Parts of a data set, held out by class and always alike.

Which images a part gets follows from their names alone: not from the order in which a machine lists them, where the
folder lies, the seed of a run, or a random generator's version.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from shiftaddnas.errors import UserError
from tasks.image_classification.data.sources import PARTS, Sample, shown

SPLIT_NAME = "shiftaddnas-1"


def by_chance(samples: Sequence[Sample], purpose: str) -> list[Sample]:
    """The samples in an order as good as random, which their names alone decide."""

    def digest(sample: Sample) -> bytes:
        # Names of files need not be UTF-8: so they are the bytes that they have on the disk.
        return hashlib.sha256(f"{purpose}:{sample.name}".encode(errors="surrogateescape")).digest()

    return sorted(samples, key=digest)


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


def three_parts(
    parts: Mapping[str, Sequence[Sample]], val_share: float, test_share: float, classes: Sequence[str]
) -> dict[str, list[Sample]]:
    """Train, val and test. What the source does not tell apart is held out of its training images, test first.

    Raises:
        UserError: a part would have no images of any class, or the training part none of some class.
    """
    whole = {name: sorted(samples, key=_name) for name, samples in parts.items()}
    train = whole.pop("train", None) or whole.pop("all", [])
    shares = {name: share for name, share in (("test", test_share), ("val", val_share)) if name not in whole}
    for name, share in shares.items():
        train, whole[name] = held_out(train, share, name)
    labels = {sample.label for part in parts.values() for sample in part}
    if lacking := labels - {sample.label for sample in train}:
        held = f", and of each class one or more are held out for {' and '.join(shares)}" if shares else ""
        raise UserError(
            f"class {shown(classes[min(lacking)])} has no image left to train on{held}; give it more than {len(shares)}"
        )
    made = {"train": train, "val": whole["val"], "test": whole["test"]}
    for name in PARTS:
        if not made[name]:
            raise UserError(f"task.data.root has no images for the {name} part; put some there")
    return made


def _name(sample: Sample) -> str:
    return sample.name

"""The digits: fixed stratified parts, and batches whose order depends on seed and epoch alone."""

from types import SimpleNamespace

import pytest
import torch
from sklearn.datasets import load_digits
from torch.utils.data import DistributedSampler

from shiftaddnas.errors import UserError
from tasks.image_classification import DigitsData
from tasks.image_classification.augmentation import random_shift


def data(seed: int = 0) -> DigitsData:
    made = DigitsData(64, seed)
    made.setup()
    return made


def test_parts_are_disjoint_stratified_and_complete() -> None:
    parts = data().parts
    sizes = {name: len(parts[name]) for name in ("train", "val", "test")}
    assert sum(sizes.values()) == 1797
    for name, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        labels = parts[name].tensors[1]
        assert abs(sizes[name] / 1797 - share) < 0.002
        counts = torch.bincount(labels, minlength=10) / len(labels)
        whole = torch.bincount(torch.from_numpy(load_digits().target)) / 1797
        assert (counts - whole).abs().max() < 0.005


def test_the_split_does_not_follow_the_seed() -> None:
    assert torch.equal(data(0).parts["test"].tensors[0], data(1).parts["test"].tensors[0])


def test_training_images_are_standardised() -> None:
    images = data().parts["train"].tensors[0]
    assert abs(float(images.mean())) < 1e-5
    assert abs(float(images.std()) - 1) < 1e-3
    assert images.shape[1:] == (1, 8, 8)


def test_calibration_images_are_training_images() -> None:
    parts = data().parts
    train = {tuple(image.flatten().tolist()) for image in parts["train"].tensors[0]}
    assert all(tuple(image.flatten().tolist()) in train for image in parts["calibration"].tensors[0])


def test_order_depends_on_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = data(seed).train_dataloader()
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        return [int(label) for _, labels in loader for label in labels]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_random_shift_moves_whole_images() -> None:
    images = torch.arange(36.0).view(1, 1, 6, 6).expand(200, 1, 6, 6)
    moved = random_shift(images, 1, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images[:1], [1] * 4, mode="replicate")
    possible = [padded[0, :, r : r + 6, c : c + 6] for r in range(3) for c in range(3)]
    found = [next(n for n, candidate in enumerate(possible) if torch.equal(image, candidate)) for image in moved]
    assert set(found) == set(range(9))


def test_processes_share_an_epoch_between_them() -> None:
    def indices(world_size: int, rank: int) -> list[int]:
        made = data()
        made.trainer = SimpleNamespace(world_size=world_size, global_rank=rank)  # type: ignore[assignment]
        loader = made.train_dataloader()
        assert isinstance(loader.sampler, DistributedSampler)
        loader.sampler.set_epoch(3)
        return list(loader.sampler)

    parts = [indices(2, rank) for rank in (0, 1)]
    assert set(parts[0] + parts[1]) == set(indices(1, 0))
    assert len(set(parts[0]) & set(parts[1])) <= 1  # an odd number of images is made even


def test_empty_batches_are_refused() -> None:
    with pytest.raises(UserError, match=r"task\.data\.batch_size=0; allowed"):
        DigitsData(0, 0)
    with pytest.raises(UserError, match=r"task\.data\.num_calibration=0; allowed"):
        DigitsData(64, 0, num_calibration=0)


def test_batches_and_workers_must_be_possible() -> None:
    with pytest.raises(UserError, match=r"task\.data\.num_workers=-1"):
        DigitsData(64, 0, num_workers=-1)
    data = DigitsData(1078, 0)
    data.setup()
    with pytest.raises(UserError, match=r"task\.data\.batch_size=1078 is more than the 1077"):
        data.train_dataloader()

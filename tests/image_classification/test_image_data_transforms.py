"""What is done to images: evaluation's geometry, the augmentation's parts, and mixing with its shares."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from image_files import digits
from PIL import Image
from torch import nn

from shiftaddnas.errors import UserError
from tasks.image_classification import DigitsData, ImageClassification
from tasks.image_classification.augmentation import mix
from tasks.image_classification.data.transforms import (
    Augmentation,
    CentreCrop,
    Normalization,
    evaluation_transform,
    resized_size,
    training_transform,
)

NOTHING: dict[str, Any] = {"crop_scale": None, "flip": 0.0, "rand_augment": None, "erasing": 0.0}
COLOUR = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GREY = Normalization((0.5,), (0.25,))


def picture(size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def test_evaluation_sizes_of_the_paper() -> None:
    assert resized_size(224, 224 / 256) == 256
    assert resized_size(256, 224 / 256) == 292


@pytest.mark.parametrize("size", [(500, 375), (300, 900), (40, 40)])
def test_evaluation_keeps_the_centre_of_the_resized_image(size: tuple[int, int]) -> None:
    image = picture(size)
    scale = 256 / min(size)
    resized = image.resize((int(size[0] * scale), int(size[1] * scale)), Image.Resampling.BICUBIC)
    left, top = (round((side - 224) / 2) for side in resized.size)
    expected = resized.crop((left, top, left + 224, top + 224))
    assert np.array_equal(np.asarray(CentreCrop(224, 0.875)(image)), np.asarray(expected))


def test_training_and_evaluation_are_normalised_alike() -> None:
    image = picture((32, 32))
    for normal, given in ((COLOUR, image), (GREY, image.convert("L"))):
        evaluated = evaluation_transform(32, 1.0, normal)(given)
        trained = training_transform(32, 1.0, normal, Augmentation(**NOTHING))(given)
        assert torch.equal(evaluated, trained)
        channel = torch.from_numpy(np.atleast_3d(np.asarray(given)).copy()).float()[..., 0] / 255
        assert torch.allclose(evaluated[0], (channel - normal.mean[0]) / normal.std[0], atol=1e-6)


def test_a_flip_is_a_flip() -> None:
    image = picture((16, 16))
    plain = evaluation_transform(16, 1.0, COLOUR)(image)
    flipped = training_transform(16, 1.0, COLOUR, Augmentation(**(NOTHING | {"flip": 1.0})))(image)
    assert torch.equal(flipped, plain.flip(-1))


def test_erasing_puts_noise_into_one_rectangle() -> None:
    torch.manual_seed(0)
    image = picture((64, 64))
    plain = evaluation_transform(64, 1.0, COLOUR)(image)
    erased = training_transform(64, 1.0, COLOUR, Augmentation(**(NOTHING | {"erasing": 1.0})))(image)
    rows, columns = (erased != plain).all(0).nonzero(as_tuple=True)
    area = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    assert len(rows) == area == int((erased != plain).any(0).sum())
    assert 0.01 < area / 64**2 < 0.35
    inside = erased[:, rows, columns]
    assert abs(float(inside.mean())) < 0.3
    assert 0.8 < float(inside.std()) < 1.2


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("changes", [{}, {"rand_augment": None, "color_jitter": 0.4}])
def test_the_whole_recipe_gives_images_of_the_size_that_change_each_time(mode: str, changes: dict[str, Any]) -> None:
    normal = COLOUR if mode == "RGB" else GREY
    transform = training_transform(48, 0.875, normal, Augmentation(**changes))
    images = [transform(picture((90, 70)).convert(mode)) for _ in range(60)]
    assert {image.shape for image in images} == {(3 if mode == "RGB" else 1, 48, 48)}
    assert all(image.isfinite().all() for image in images)
    assert len({float(image.sum()) for image in images}) == 60


def test_a_wrong_rand_augment_is_refused() -> None:
    for wrong in ("randaugment", "rand-q9", "rand-mx9"):
        with pytest.raises(UserError, match="rand_augment"):
            training_transform(8, 1.0, GREY, Augmentation(rand_augment=wrong))


def test_rand_augment_bears_every_magnitude() -> None:
    """At the highest one the policy keeps no bit of a value at all: a black image."""
    transform = training_transform(16, 1.0, COLOUR, Augmentation(**(NOTHING | {"rand_augment": "rand-m10-n4-inc1"})))
    black = evaluation_transform(16, 1.0, COLOUR)(Image.new("RGB", (16, 16)))
    images = [transform(picture((16, 16))) for _ in range(100)]
    assert any(torch.equal(image, black) for image in images)


def constant_images(values: list[float], size: int = 40) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, size, size)


def test_mixup_blends_images_as_it_blends_labels() -> None:
    labels = torch.tensor([0, 1, 2, 3])
    shares = []
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        mixed, targets = mix(
            constant_images([0.0, 1.0, 2.0, 3.0]), labels, 5, mixup=0.8, cutmix=0.0, generator=generator
        )
        share = float(targets[0, 0])
        assert torch.allclose(targets[0], share * F.one_hot(labels[0], 5) + (1 - share) * F.one_hot(labels[3], 5))
        for image, partner in ((0, 3), (1, 2), (2, 1), (3, 0)):
            assert torch.allclose(mixed[image], torch.tensor(share * image + (1 - share) * partner), atol=1e-5)
        shares.append(share)
    # Beta(0.8, 0.8): mean 1/2, variance 1 / (4 (2 * 0.8 + 1))
    assert abs(np.mean(shares) - 0.5) < 0.07
    assert abs(np.var(shares) - 1 / 10.4) < 0.02


def test_cutmix_shares_are_areas() -> None:
    labels = torch.tensor([0, 1])
    areas = []
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        mixed, targets = mix(constant_images([0.0, 1.0]), labels, 2, mixup=0.0, cutmix=1.0, generator=generator)
        assert set(mixed.unique().tolist()) <= {0.0, 1.0}
        assert float(targets[0, 0]) == pytest.approx(float((mixed[0] == 0).float().mean()))
        assert float(targets[1, 1]) == pytest.approx(float((mixed[1] == 1).float().mean()))
        areas.append(float(targets[0, 0]))
    assert min(areas) < 0.3
    assert max(areas) > 0.95


def test_a_coin_decides_between_the_two_and_the_generator_alone_decides_all() -> None:
    images, labels = constant_images([0.0, 1.0]), torch.tensor([0, 1])

    def made(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return mix(images, labels, 2, mixup=0.8, cutmix=1.0, generator=torch.Generator().manual_seed(seed))

    cut = [set(made(seed)[0].unique().tolist()) <= {0.0, 1.0} for seed in range(200)]
    assert 70 < sum(cut) < 130
    np.random.seed(1)
    first = made(3)
    np.random.seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, made(3), strict=True))


def test_the_loss_of_mixed_targets_is_the_smoothed_cross_entropy() -> None:
    task = ImageClassification("x", DigitsData(4, 0), label_smoothing=0.1, mixup=0.8, cutmix=1.0)
    images = torch.from_numpy(digits(8)[0][:6]).float()[:, None] / 255
    labels = torch.arange(6)
    mixed, targets = task.augment((images, labels), torch.Generator().manual_seed(0))
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    logits = network(mixed)
    smoothed = targets * 0.9 + 0.1 / 10
    expected = -(smoothed * logits.log_softmax(-1)).sum(-1).mean()
    assert torch.allclose(task.step(network.train(), (mixed, targets)).loss, expected, atol=1e-6)


def test_without_mixing_labels_stay_labels() -> None:
    task = ImageClassification("x", DigitsData(4, 0), max_shift=1)
    batch = (torch.zeros(2, 1, 8, 8), torch.tensor([3, 4]))
    assert task.augment(batch, torch.Generator().manual_seed(0))[1] is batch[1]
    with pytest.raises(UserError, match=r"task.mixup=-1"):
        ImageClassification("x", DigitsData(4, 0), mixup=-1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("crop_scale", (0.5, 0.1)),
        ("crop_scale", (0.0, 1.0)),
        ("crop_scale", (0.5, 1.5)),
        ("flip", 1.5),
        ("erasing", -0.1),
        ("repeats", 0),
    ],
)
def test_an_augmentation_out_of_range_is_named(setting: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"task.data.augmentation.{setting}=.*; allowed"):
        Augmentation(**{setting: value})
    with pytest.raises(UserError, match=r"color_jitter=-1; allowed"):
        Augmentation(rand_augment=None, color_jitter=-1)


@pytest.mark.parametrize(
    ("setting", "value"), [("label_smoothing", 1.5), ("max_shift", -1), ("mixup", -1.0), ("cutmix", -1.0)]
)
def test_a_setting_of_the_task_out_of_range_is_named(setting: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"task.{setting}={value}; allowed"):
        ImageClassification("digits", DigitsData(8, 0), **{setting: value})


def test_top_5_accuracy_is_measured_where_there_are_many_classes() -> None:
    data: Any = DigitsData(8, 0)
    assert set(ImageClassification("digits", data).metrics()) == {"accuracy"}
    data.num_classes = 100
    metrics = ImageClassification("many", data).metrics()
    # Class 0 is first of all, 3 fourth and 7 eighth. In the first batch the two accuracies are the same.
    logits = -torch.arange(100.0).expand(3, -1)
    metrics.update(logits, torch.tensor([0, 0, 7]))
    metrics.update(logits, torch.tensor([3, 3, 7]))
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found == pytest.approx({"accuracy": 2 / 6, "top5_accuracy": 4 / 6})

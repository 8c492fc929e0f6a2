"""Image data: what lies in folders and raw files, its parts, its batches, and what is said of bad data."""

import logging
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from image_files import digits, write_cifar, write_fashion_mnist, write_folder
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST
from torchvision.datasets.mnist import read_image_file

from composed import built, compose
from shiftaddnas.cli.app import plain_config
from shiftaddnas.cli.components import difference
from shiftaddnas.engine import ResumableLoader
from shiftaddnas.errors import UserError
from tasks.image_classification import ImageData
from tasks.image_classification.data.sampler import RepeatedSampler
from tasks.image_classification.data.sources import FolderSource
from tasks.image_classification.data.transforms import Augmentation, Normalization

PLAIN = Normalization((0.0,), (1.0,))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 300 digits, one folder a class."""
    return write_folder(tmp_path_factory.mktemp("images"), range(300))


def data(root: Path, **settings: Any) -> ImageData:
    defaults = {"format": "folder", "image_size": 8, "batch_size": 32, "seed": 0, "in_channels": 1, "crop_share": 1.0}
    return ImageData(str(root), **(defaults | {"normalization": PLAIN} | settings))


def ready(root: Path, **settings: Any) -> ImageData:
    made = data(root, **settings)
    made.setup()
    return made


def names(made: ImageData) -> dict[str, list[str]]:
    return {part: [sample.name for sample in made.parts[part].samples] for part in ("train", "val", "test")}


def test_a_folder_of_classes_is_split_by_class(folder: Path) -> None:
    made = ready(folder, val_share=0.25, test_share=0.2)
    found = names(made)
    together = [name for part in found.values() for name in part]
    assert len(together) == len(set(together)) == 300
    _, labels = digits(8)
    for label, count in enumerate(np.bincount(labels[:300])):
        held = {part: sum(f"digit_{label}/" in name for name in found[part]) for part in found}
        assert held["test"] == max(1, round(count * 0.2))
        assert held["val"] == max(1, round((count - held["test"]) * 0.25))
    assert made.num_classes == 10


def test_pixels_and_labels_arrive_as_they_were_written(folder: Path) -> None:
    images, labels = digits(8)
    part = ready(folder).parts["test"]
    for position, sample in enumerate(part.samples):
        index = int(Path(sample.name).stem)
        item = part[position]
        assert item is not None
        assert np.array_equal((item[0][0] * 255).round().numpy(), images[index])
        assert item[1] == labels[index]


def test_the_split_depends_on_names_alone(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "renamed" / "root"
    shutil.copytree(folder, elsewhere)
    expected = names(ready(folder))
    assert names(ready(elsewhere, seed=7)) == expected
    listed = __import__("os").walk
    backwards = lambda top, **given: ((d, s, sorted(f, reverse=True)) for d, s, f in listed(top, **given))  # noqa: E731
    monkeypatch.setattr("os.walk", backwards)
    assert names(ready(elsewhere)) == expected


def test_large_photographs_are_halved_by_the_decoder_but_not_below_the_size(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(800), np.arange(1000)) / 1800 * 255
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(smooth.astype(np.uint8)).save(tmp_path / name / "photo.JPG", quality=95)
    source = FolderSource(tmp_path)
    assert source.load(source.parts["all"][0], "RGB", 200).size == (250, 200)
    assert source.load(source.parts["all"][0], "L", 201).size == (500, 400)
    assert source.load(source.parts["all"][0], "L", 900).size == (1000, 800)


def test_evaluation_may_have_a_size_of_its_own(folder: Path) -> None:
    made = ready(folder, eval_size=12)
    assert made.image_size == 8
    assert next(iter(made.train_dataloader()))[0].shape[1:] == (1, 8, 8)
    for loader in (made.val_dataloader(), made.test_dataloader(), made.calibration_dataloader()):
        assert next(iter(loader))[0].shape[1:] == (1, 12, 12)


def test_folders_train_val_test_are_taken_as_they_are(tmp_path: Path) -> None:
    for part, indices in (("train", range(200)), ("val", range(200, 250)), ("test", range(250, 300))):
        write_folder(tmp_path / part, indices)
    found = names(ready(tmp_path))
    assert {part: len(found[part]) for part in found} == {"train": 200, "val": 50, "test": 50}
    assert all(name.startswith(f"{part}/") for part in found for name in found[part])


def test_as_in_imagenet_val_is_for_the_end_and_the_search_has_a_part_of_train(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", range(200))
    write_folder(tmp_path / "val", range(200, 300))
    found = names(ready(tmp_path))
    assert len(found["test"]) == 100
    assert all(name.startswith("val/") for name in found["test"])
    assert all(name.startswith("train/") for name in found["train"] + found["val"])
    assert len(found["train"]) + len(found["val"]) == 200
    assert 10 <= len(found["val"]) <= 30


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_fashion_mnist_is_what_torchvision_reads(tmp_path: Path, suffix: str) -> None:
    raw = write_fashion_mnist(tmp_path / "FashionMNIST" / "raw", suffix)
    made = ready(tmp_path, format="fashion_mnist", image_size=28)
    write_fashion_mnist(raw, "")  # torchvision wants them unpacked
    theirs = FashionMNIST(str(tmp_path), train=False)
    assert torch.equal(theirs.data, read_image_file(str(raw / "t10k-images-idx3-ubyte")))
    part = made.parts["test"]
    order = [int(sample.name.split("/")[1]) for sample in part.samples]
    items = [part[position] for position in range(len(part))]
    assert torch.equal(torch.stack([(item[0][0] * 255).round().byte() for item in items if item]), theirs.data[order])
    assert [item[1] for item in items if item] == theirs.targets[order].tolist()
    assert sorted(order) == list(range(297))
    assert len(made.parts["train"]) + len(made.parts["val"]) == 1500


@pytest.mark.parametrize(("kind", "format"), [(CIFAR10, "cifar10"), (CIFAR100, "cifar100")])
def test_cifar_is_read_from_its_batches(
    tmp_path: Path, kind: Any, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(tmp_path, kind, monkeypatch)
    three = Normalization((0.0,) * 3, (1.0,) * 3)
    made = ready(tmp_path, format=format, image_size=32, in_channels=3, normalization=three)
    images, labels = digits(32)
    part = made.parts["test"]
    for position in range(0, len(part), 50):
        index = 1500 + int(part.samples[position].name.split("/")[1])
        item = part[position]
        assert item is not None
        red, green, _ = (item[0] * 255).round().byte().numpy()
        assert np.array_equal(red, images[index])
        assert np.array_equal(green, images[index] // 2)
        assert item[1] == labels[index]


def test_damaged_raw_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, CIFAR10, monkeypatch)
    (tmp_path / CIFAR10.base_folder / "test_batch").write_bytes(b"other")
    with pytest.raises(UserError, match="cifar-10-batches-py, as unpacked from cifar-10-python"):
        ready(tmp_path, format="cifar10", in_channels=3, normalization=None)
    fashion = write_fashion_mnist(tmp_path / "fashion")
    labels = fashion / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:60])
    with pytest.raises(UserError, match="train-labels-idx1-ubyte is damaged"):
        ready(fashion, format="fashion_mnist", image_size=28)
    labels.unlink()
    with pytest.raises(UserError, match="train-labels-idx1-ubyte does not exist; expected there: train-images"):
        ready(fashion, format="fashion_mnist", image_size=28)


@pytest.mark.parametrize(
    ("format", "expected"),
    [("folder", "one folder of images for each class"), ("cifar100", "cifar-100-python"), ("fashion_mnist", "Debian")],
)
def test_a_missing_folder_is_one_line_with_what_belongs_there(tmp_path: Path, format: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        ready(tmp_path / "absent", format=format)
    assert "absent does not exist; expected there:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", range(100))
    write_folder(tmp_path / "test", range(100, 120))
    with pytest.raises(UserError, match=r"num_classes=12, but .* has 10 classes"):
        ready(tmp_path, num_classes=12)
    (tmp_path / "test" / "letter_x").mkdir()
    with pytest.raises(UserError, match="letter_x"):
        ready(tmp_path)
    (tmp_path / "one" / "only").mkdir(parents=True)
    with pytest.raises(UserError, match="has 1 folders"):
        ready(tmp_path / "one")
    with pytest.raises(UserError, match=r"val_share=1.5; allowed"):
        data(tmp_path, val_share=1.5)
    for size in ("image_size", "eval_size", "batch_size", "eval_batch_size", "num_calibration"):
        with pytest.raises(UserError, match=rf"task\.data\.{size}=0; allowed"):
            data(tmp_path, **{size: 0})
    with pytest.raises(UserError, match="exclude each other"):
        Augmentation(color_jitter=0.4)


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_images_are_reported_and_left_out(
    folder: Path, tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "some"
    shutil.copytree(folder, root)
    broken = names(ready(root))["test"][:2]
    (root / broken[0]).write_bytes(b"")
    (root / broken[1]).write_bytes((root / broken[1]).read_bytes()[:40])
    with caplog.at_level(logging.WARNING):
        made = ready(root, max_broken=0.05, num_workers=workers)
        for _ in range(2):
            batches = list(made.test_dataloader())
    assert sum(len(labels) for _, labels in batches) == len(made.parts["test"]) - 2
    if not workers:  # else it is said by the worker processes
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == 2
        assert all(any(name in line for line in said) for name in broken)
    strict = ready(root, max_broken=0.01, num_workers=workers)
    with pytest.raises(UserError, match=r"2 of \d+ images of the test part cannot be read, .*max_broken=0.01"):
        list(strict.test_dataloader())


def test_statistics_are_those_of_the_training_part_and_are_kept(
    folder: Path, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ready(folder, normalization=None)
    images, _ = digits(8)
    train = images[[int(Path(name).stem) for name in names(made)["train"]]] / 255
    item = made.parts["test"][0]
    assert item is not None
    raw = images[int(Path(names(made)["test"][0]).stem)] / 255
    assert np.allclose(item[0][0].numpy(), (raw - train.mean()) / train.std(), atol=1e-4)
    assert len(list(own_cache.rglob("*.json"))) == 1
    monkeypatch.setattr("tasks.image_classification.data.statistics._compute", None)
    again = ready(folder, normalization=None).parts["test"][0]
    assert again is not None
    assert torch.equal(again[0], item[0])


AUGMENTED = Augmentation(crop_scale=(0.5, 1.0), repeats=3, erasing=0.5)


def epoch(made: ImageData, number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    loader = made.train_dataloader()
    loader.sampler.set_epoch(number)  # type: ignore[attr-defined]
    return list(loader)


def same(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(first, second, strict=True)
    )


def test_batches_follow_seed_and_epoch_whatever_the_workers_and_leave_the_generators_alone(folder: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index, union-attr]
    part = ready(folder, augmentation=AUGMENTED).parts["train"]
    for position in range(20):
        part[position]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]
    reference = epoch(ready(folder, augmentation=AUGMENTED), 3)
    np.random.seed(99)
    torch.manual_seed(99)
    assert same(reference, epoch(ready(folder, augmentation=AUGMENTED, num_workers=2), 3))
    assert not same(reference, epoch(ready(folder, augmentation=AUGMENTED), 4))
    assert not same(reference, epoch(ready(folder, augmentation=AUGMENTED, seed=1), 3))


def test_copies_of_an_image_are_augmented_differently(folder: Path) -> None:
    images, labels = epoch(ready(folder, augmentation=AUGMENTED), 0)[0]
    assert torch.equal(labels[0:30:3], labels[1:30:3])
    assert torch.equal(labels[0:30:3], labels[2:30:3])
    assert sum(torch.equal(images[i], images[i + 1]) for i in range(0, 30, 3)) <= 1


def test_two_processes_do_the_step_of_one_with_twice_the_batch(folder: Path) -> None:
    part = ready(folder).parts["train"]
    size = len(part)

    def draws(replicas: int, rank: int, repeats: int) -> list[Any]:
        sampler = RepeatedSampler(part, size, 0, repeats=repeats, num_replicas=replicas, rank=rank)
        sampler.set_epoch(2)
        found = list(sampler)
        assert len(found) == len(sampler) == size // replicas
        return found

    for repeats in (1, 3):
        whole = draws(1, 0, repeats)
        parts = [draws(2, rank, repeats) for rank in (0, 1)]
        for step in range(0, size // 2 - 16, 16):
            together = parts[0][step : step + 16] + parts[1][step : step + 16]
            assert sorted(together) == sorted(whole[2 * step : 2 * step + 32])
        assert len({draw.image for draw in whole}) == -(-size // repeats)
        assert len(set(whole)) == size


def test_lightning_tells_the_data_which_process_it_is(folder: Path) -> None:
    made = ready(folder)
    made.trainer = SimpleNamespace(world_size=2, global_rank=1)  # type: ignore[assignment]
    sampler = made.train_dataloader().sampler
    assert isinstance(sampler, RepeatedSampler)
    assert (sampler.num_replicas, sampler.rank) == (2, 1)


def test_calibration_images_are_training_images_as_evaluation_sees_them(folder: Path) -> None:
    made = ready(folder, augmentation=AUGMENTED, num_calibration=50)
    samples = made.parts["calibration"].samples
    assert len(samples) == 50
    assert {sample.name for sample in samples} <= set(names(made)["train"])
    first, second = (list(made.calibration_dataloader()) for _ in range(2))
    assert same(first, second)
    assert len({label for _, labels in first for label in labels.tolist()}) == 10


def test_the_shipped_tasks_say_what_networks_are_priced_for_without_any_data() -> None:
    expected = {
        "imagenet": (224, 3, 1000),
        "imagenet100": (224, 3, 100),
        "cifar100": (224, 3, 100),
        "cifar10": (224, 3, 10),
        "fashion_mnist": (28, 1, 10),
    }
    for name, workload in expected.items():
        found = built("task", f"task={name}").workload()
        assert (found.image_size, found.in_channels, found.num_classes) == workload


def test_what_the_augmentation_refuses_is_said_in_its_own_words() -> None:
    overrides = ("task=image_folder", "task.data.root=x", "task.data.augmentation.repeats=0")
    with pytest.raises(UserError) as caught:
        built("task", *overrides)
    assert str(caught.value) == "task.data.augmentation.repeats=0; allowed are whole numbers from 1"


def test_a_supernet_may_be_used_with_other_recipes_but_not_with_other_parts(folder: Path) -> None:
    free = built("task", "task=image_folder", f"task.data.root={folder}").free_settings()
    root, recipe = ("task=image_folder", "task.data.root=a"), ("task.mixup=0", "task.data.augmentation=null")
    trained = plain_config(compose("search", *root, "space.name=x"))
    other = plain_config(compose("search", "task=image_folder", "task.data.root=b", "seed=1", *recipe))
    bigger = plain_config(compose("search", *root, "task.data.val_share=0.2"))
    for key in ("task", "space"):
        assert difference(trained[key], other[key], key, free) is None
    assert difference(trained["task"], other["task"], "task") is not None
    assert difference(trained["task"], bigger["task"], "task", free) == "task.data.val_share is 0.1 there and 0.2 here"


def test_images_of_16_bits_keep_their_shades(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(ramp).save(tmp_path / name / "ramp.png")
        Image.fromarray(ramp.astype(np.int32)).save(tmp_path / name / "wide.tif")
        Image.fromarray(ramp.astype(np.float32) / 65535).save(tmp_path / name / "float.tif")
    source = FolderSource(tmp_path)
    for sample in source.parts["all"]:
        if sample.name.endswith("float.tif"):
            with pytest.raises(ValueError, match="floating-point"):
                source.load(sample, "L", 8)
        else:
            assert np.array_equal(np.asarray(source.load(sample, "L", 8)), ramp // 256)


def test_a_link_that_makes_images_count_twice_is_refused(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "some"
    shutil.copytree(folder, root)
    (root / "digit_0" / "loop").symlink_to(root)
    with pytest.raises(UserError, match=r"digit_0/loop is a link to .*remove the link"):
        ready(root)
    (root / "digit_0" / "loop").unlink()
    (root / "digit_0" / "again").symlink_to(root / "digit_1")
    with pytest.raises(UserError, match="are the same folder"):
        ready(root)


def test_names_need_not_be_utf_8(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "some"
    shutil.copytree(folder, root)
    expected = names(ready(root))
    strange = os.fsdecode(b"caf\xe9.png")
    shutil.copy(next((root / "digit_3").glob("*.png")), root / "digit_3" / strange)
    (root / "digit_4" / strange).write_bytes(b"broken")
    made = ready(root, max_broken=0.0)
    assert sum(map(len, names(made).values())) == sum(map(len, expected.values())) + 2
    (part,) = (name for name, found in names(made).items() if f"digit_4/{strange}" in found)
    with pytest.raises(UserError, match=r"caf.*e9\.png"):
        list(getattr(made, f"{part}_dataloader")())


@pytest.mark.parametrize(
    "rename", [{"digit_0": "val", "digit_1": "test"}, {"digit_0": "Train", "digit_1": "Test"}, {"digit_0": "valid"}]
)
def test_folders_that_are_meant_as_parts_are_no_classes(folder: Path, tmp_path: Path, rename: dict[str, str]) -> None:
    root = tmp_path / "some"
    shutil.copytree(folder, root)
    for before, after in rename.items():
        (root / before).rename(root / after)
    with pytest.raises(UserError, match="neither a part nor a class"):
        ready(root)


def test_a_class_without_images_is_named(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "some"
    shutil.copytree(folder, root)
    (root / "empty").mkdir()
    (root / "empty" / "film.gif").write_bytes(b"GIF")
    with pytest.raises(UserError, match=r"some/empty has no images"):
        ready(root)


def test_a_training_batch_of_broken_images_ends_the_training(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "some"
    shutil.copytree(folder, root)
    broken = names(ready(root))["train"][0]
    (root / broken).write_bytes(b"")
    made = ready(root, batch_size=1, max_broken=0.5)
    with pytest.raises(UserError, match="no image of a training batch can be read"):
        list(made.train_dataloader())
    # The rest of an epoch, of a training that goes on, is as strict.
    with pytest.raises(UserError, match="no image of a training batch can be read"):
        list(ResumableLoader(made.train_dataloader(), None)._rest(0))


def test_broken_images_of_the_calibration_part_count_where_they_are_trained_on(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "some"
    shutil.copytree(folder, root)
    made = ready(root, num_calibration=10)
    (root / made.parts["calibration"].samples[0].name).write_bytes(b"")
    made = ready(root, num_calibration=10, max_broken=0.01)
    assert sum(len(labels) for _, labels in made.calibration_dataloader()) == 9


def test_calibration_batches_are_about_alike(folder: Path) -> None:
    made = ready(folder, num_calibration=33, eval_batch_size=32)
    assert [len(labels) for _, labels in made.calibration_dataloader()] == [17, 16]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_workers": -1}, r"task\.data\.num_workers=-1"),
        ({"normalization": Normalization((0.5,), (0.0,))}, r"normalization\.std=\[0\.0\]; allowed"),
    ],
)
def test_impossible_numbers_are_refused(folder: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        data(folder, **settings)

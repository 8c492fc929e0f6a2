"""Pictures are files that are whole or not there, equal where their data is, made without a display."""

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from composed import built
from shiftaddnas.report.arch_blocks import plan
from shiftaddnas.report.arch_figure import write_arch_figure
from shiftaddnas.report.picture import write_picture
from shiftaddnas.report.training_curves import Stage, write_training_figure
from shiftaddnas.report.weight_figures import write_layer_figure, write_operator_figure
from shiftaddnas.report.weights import by_layer, by_operator
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload

WEIGHTS = np.random.default_rng(0).laplace(size=300)
KERNELS = [("layers.0", "add", WEIGHTS), ("layers.1", "conv", WEIGHTS), ("layers.1", "add", WEIGHTS)]
STAGES = [
    Stage("supernet", {"loss": {"training": {0: 2.0}, "largest": {0: 1.0}}, "accuracy": {"largest": {0: 0.5}}}),
    Stage("retrain", {"loss": {"training": {0: 2.0}}}),
]
WRITERS: dict[str, Callable[[Path], None]] = {
    "operators": lambda path: write_operator_figure(path, "weights", by_operator(KERNELS)),
    "layers": lambda path: write_layer_figure(path, "weights", by_layer(KERNELS)),
    "training": lambda path: write_training_figure(path, STAGES),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_picture_is_a_whole_png_file(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / "new" / "a.png")
    height, width, _ = plt.imread(tmp_path / "new" / "a.png").shape
    assert min(height, width) > 300
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
    WRITERS[name](tmp_path / "b.png")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "new" / "a.png").read_bytes()
    assert plt.get_fignums() == []


def test_an_arch_is_drawn_as_png_and_svg(tmp_path: Path, digits_space: HybridSpace) -> None:
    workload = ImageWorkload(image_size=8, in_channels=1, num_classes=10)
    cost = built("hardware", "hardware=asic45nm").bind(digits_space, workload)
    drawn = plan(digits_space, digits_space.cheapest(cost.by_term("energy_mj")), workload, cost)
    for name in ("a", "b"):
        write_arch_figure(tmp_path / f"{name}.png", "arch", drawn)
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_picture_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def broken(self: Figure, file: object, **options: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError("no space left")

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(OSError, match="no space"):
        write_picture(path, (2, 2), lambda figure: None)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

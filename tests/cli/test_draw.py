"""`shiftaddnas draw`: what there is in a run folder is drawn, nothing else; an arch is drawn and written out."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import failed_in_one_line, only_run, succeeded
from commands import run as run_command

from composed import built, compose
from shiftaddnas.cli.app import plain_config
from shiftaddnas.cli.draw import run
from shiftaddnas.engine.kernels import read_kernels
from shiftaddnas.errors import UserError
from shiftaddnas.report.weights import by_operator
from shiftaddnas.sharing import Heterogeneous
from shiftaddnas.spaces import write_arch
from shiftaddnas.tracking import RunFolder
from shiftaddnas.tracking.metrics_csv import MetricsCsv
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.standalone import standalone_network
from tasks.image_classification.supernet import HybridSupernet

DIGITS = ImageWorkload(image_size=8, in_channels=1, num_classes=10)
V4 = "[1,1],[1,3,1,1],[3,1,0,3,3],[0,0,1,0,0]", "11 11 8 10 8 8 7 5 4 7 7 0 0 1 0 0"
NETWORK = ("task", "space", "sharing")


def draw(*overrides: str) -> None:
    run(compose("draw", *overrides))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run of train.py in which nothing has happened yet."""
    folder = RunFolder(tmp_path / "run")
    folder.open(plain_config(compose("train", "hardware=asic45nm")), fresh=False, argv=["train.py"])
    folder.close()
    return folder


def write_checkpoint(path: Path, name: str, network: torch.nn.Module) -> None:
    config = plain_config(compose("train"))
    state = {f"{name}.{key}": tensor for key, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "config": {key: config[key] for key in NETWORK}}, path)


def drawn(folder: RunFolder) -> set[str]:
    return {path.name for path in folder.figures.iterdir()} if folder.figures.is_dir() else set()


def test_what_there_is_of_a_supernet_is_drawn(
    folder: RunFolder, digits_space: HybridSpace, capsys: pytest.CaptureFixture[str]
) -> None:
    MetricsCsv(folder.metrics, stage="supernet").log_metrics({"train/loss": 2.0, "epoch": 0}, step=3)
    draw(f"run={folder.path}")
    assert drawn(folder) == {"training.png"}
    write_checkpoint(folder.supernet, "supernet", HybridSupernet(digits_space, DIGITS, Heterogeneous()))
    state = torch.get_rng_state()
    draw(f"run={folder.path}")
    assert torch.equal(torch.get_rng_state(), state)
    assert drawn(folder) == {"training.png", "weights_supernet.png", "weights_supernet_layers.png"}
    assert capsys.readouterr().out.splitlines()[1:] == [
        str(folder.figures / f"{name}.png") for name in ("training", "weights_supernet", "weights_supernet_layers")
    ]


def test_what_there_is_of_a_network_is_drawn(folder: RunFolder, digits_space: HybridSpace) -> None:
    arch = digits_space.all_cheap(digits_space.sample(np.random.default_rng(0)))
    write_arch(arch, folder.arch)
    write_checkpoint(folder.subnet, "network", standalone_network(digits_space, DIGITS, arch))
    draw(f"run={folder.path}")
    assert drawn(folder) == {"arch.png", "arch.svg", "weights_subnet.png", "weights_subnet_layers.png"}
    # All of it is the run's, and goes with it.
    folder.open(plain_config(compose("train", "seed=1")), fresh=True, argv=["train.py"])
    folder.close()
    assert drawn(folder) == set()


def test_weights_that_do_not_fit_are_left_out_and_named(
    folder: RunFolder, digits_space: HybridSpace, capsys: pytest.CaptureFixture[str]
) -> None:
    arch, other = digits_space.read_notation("[1],[1],[1,1,1,1]"), digits_space.read_notation("[2],[2],[0,0,0,0]")
    assert arch is not None
    assert other is not None
    write_arch(arch, folder.arch)
    write_checkpoint(folder.subnet, "network", standalone_network(digits_space, DIGITS, other))
    draw(f"run={folder.path}")
    assert drawn(folder) == {"arch.png", "arch.svg"}
    assert "note: the weights of the subnet are not drawn: checkpoint" in capsys.readouterr().out


def test_a_fresh_supernet_has_the_distributions_that_its_operators_want(digits_space: HybridSpace) -> None:
    torch.manual_seed(0)
    supernet = HybridSupernet(digits_space, DIGITS, Heterogeneous())
    best = {panel.operator: panel.best.family for panel in by_operator(read_kernels(supernet))}
    assert best == {"conv": "Gaussian", "attention": "Gaussian", "shift": "Gaussian", "add": "Laplacian"}


def test_an_arch_is_drawn_and_written_in_all_notations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space: HybridSpace = built("space", "space=hytra_hybrid")
    arch = space.read_notation(V4[1])
    assert arch is not None
    for text in V4:
        draw(f"arch='{text}'", "space=hytra_hybrid", "task=imagenet", "hardware=asic45nm", f"output={tmp_path}")
        printed = capsys.readouterr().out.splitlines()
        assert printed == [
            f"{arch.id}  CC CSCC SCTSS TTCTT",
            *V4,
            str(tmp_path / f"{arch.id}.png"),
            str(tmp_path / f"{arch.id}.svg"),
        ]
    assert {path.name for path in tmp_path.iterdir()} == {f"{arch.id}.png", f"{arch.id}.svg"}


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ((), "give one of run=FOLDER"),
        (("run=a", "arch=b"), "give one of run=FOLDER"),
        (("run=nowhere",), "nowhere is not a run folder"),
        (("arch=nothing",), "arch=nothing is neither a file"),
        (("arch=digits_mixed", f"output={__file__}"), "is a file; name a folder"),
        (("arch=digits_mixed", f"output={__file__}/drawn"), "cannot be written"),
        (("arch=digits_mixed", "space=transformer_v1"), "space=transformer_v1 is not a space of images"),
    ],
)
def test_mistakes_are_explained(overrides: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        draw(*overrides)


def test_a_run_without_anything_to_draw_says_so(folder: RunFolder) -> None:
    with pytest.raises(UserError, match="holds nothing to draw yet"):
        draw(f"run={folder.path}")
    folder.config.write_text("task: {}\n")
    with pytest.raises(UserError, match=r"has no space in its config\.yaml"):
        draw(f"run={folder.path}")


@pytest.mark.slow
def test_a_training_draws_itself_and_is_drawn_again(tmp_path: Path) -> None:
    small = ("debug=fast", "logger.mode=offline")
    printed = succeeded(run_command("train.py", "arch=digits_mixed", *small, folder=tmp_path))
    assert "[1],[1,2],[3,0,2]" in printed
    folder = RunFolder(only_run(tmp_path))
    expected = {"arch.png", "arch.svg", "training.png", "weights_subnet.png", "weights_subnet_layers.png"}
    assert drawn(folder) == expected
    mirrored = {re.sub(r"_\d+_\w+\.png$", "", path.name) for path in folder.wandb.rglob("media/images/pictures/*")}
    assert mirrored == {"arch", "training", "weights_subnet", "weights_subnet_layers"}
    before = {path.name: path.read_bytes() for path in folder.figures.iterdir()}
    shutil.rmtree(folder.figures)
    succeeded(run_command("shiftaddnas", "draw", f"run={folder.path}", folder=tmp_path))
    assert {path.name: path.read_bytes() for path in folder.figures.iterdir()} == before
    line = failed_in_one_line(run_command("shiftaddnas", "draw", "run=none", folder=tmp_path))
    assert "none is not a run folder" in line


def test_every_task_brings_its_space() -> None:
    # An option of one group can set another only where that stands before it in the defaults.
    for command in ("draw", "price", "latency", "train", "search", "rank"):
        assert compose(command, "task=gettext_en_de").space.name == "gettext"

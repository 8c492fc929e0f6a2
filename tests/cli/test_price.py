"""`shiftaddnas price`: spaces, archs and any network, in numbers that follow from formulas."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from commands import failed_in_one_line
from commands import run as run_command

from composed import built, compose
from shiftaddnas.cli.price import run
from shiftaddnas.errors import UserError
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload

ARITHMETIC = "hardware=asic45nm"
CONV = "model={_target_: torch.nn.Conv2d, in_channels: 3, out_channels: 8, kernel_size: 3, padding: 1}"
MACS = 8 * 3 * 9 * 10 * 10
FULL_PJ, PJ_PER_MJ = 3.7 + 0.9, 1e9


def price(*overrides: str) -> float | None:
    return run(compose("price", *overrides))


def rows(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


def is_png(file: Path) -> bool:
    return file.read_bytes().startswith(b"\x89PNG")


def test_a_network_costs_what_its_taps_cost(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    energy = price(CONV, "input=[1,3,10,10]", ARITHMETIC, f"output={tmp_path}")
    assert energy == pytest.approx(MACS * FULL_PJ / PJ_PER_MJ)
    (row,) = rows(tmp_path / "layers.csv")
    assert (row["layer"], row["num_macs"], row["num_params"]) == ("Conv2d", str(float(MACS)), str(float(8 * 28)))
    assert is_png(tmp_path / "layers.png")
    printed = capsys.readouterr().out
    assert "3x3 3 > 8, 10x10" in printed
    assert "100.0 %" in printed


def test_nothing_is_written_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    price(CONV, "input=[1,3,10,10]")
    assert not list(tmp_path.iterdir())


def test_an_arch_is_broken_down_by_its_decisions(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    energy = price("arch=digits_all_conv", ARITHMETIC, f"output={tmp_path}")
    found = rows(tmp_path / "layers.csv")
    assert energy == pytest.approx(sum(float(row["num_macs"]) for row in found) * FULL_PJ / PJ_PER_MJ)
    assert energy == pytest.approx(sum(float(row["energy_mj"]) for row in found))
    names = [row["layer"] for row in found]
    assert names[:2] == ["depths=[1,2,3].stem", "depths=[1,2,3].depthwise"]
    assert names.count("layer_5=conv.conv2") == 1
    assert "layer_5=conv.conv2" in capsys.readouterr().out


def test_an_accelerators_parts_add_up(tmp_path: Path) -> None:
    energy = price("arch=digits_mixed", "hardware=eyeriss_fair", f"output={tmp_path}")
    parts = ("compute_mj", "dram_mj", "buffer_mj", "noc_mj", "rf_mj")
    total = math.fsum(float(row[part]) for row in rows(tmp_path / "layers.csv") for part in parts)
    assert total == pytest.approx(energy)


def test_a_space_has_the_ranges_of_its_archs(
    digits_space: HybridSpace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert price(ARITHMETIC, f"output={tmp_path}") is None
    bound = built("hardware", ARITHMETIC).bind(digits_space, ImageWorkload(8, 1, 10))
    values = np.array([[*bound(arch).values.values()] for arch in digits_space.archs()])
    cheapest, dearest = values[:, 0].argmin(), values[:, 0].argmax()
    for column, row in enumerate(rows(tmp_path / "space.csv")):
        assert float(row["least"]) == pytest.approx(values[:, column].min())
        assert float(row["greatest"]) == pytest.approx(values[:, column].max())
        named = [float(value) for key, value in row.items() if key.startswith(("cheapest", "dearest"))]
        if row["metric"] == "energy_mj":
            assert named == pytest.approx([values[cheapest, column], values[dearest, column]])
    assert is_png(tmp_path / "space.png")
    printed = capsys.readouterr().out
    assert "5,328 archs" in printed
    assert "dearest" in printed


def test_a_cost_without_layers_gives_the_total(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    total = price(CONV, "input=[1,3,10,10]", "hardware=peak_memory", f"output={tmp_path}")
    assert total == (3 + 8) * 100 * 4
    assert "no prices of single layers" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_several_costs_share_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    price(CONV, "input=[1,3,10,10]", "hardware=composite", f"output={tmp_path}")
    (row,) = rows(tmp_path / "layers.csv")
    assert float(row["model_size_bytes"]) == (8 * 27 + 8) * 4
    assert row["peak_memory_bytes"] == ""
    assert "peak memory" in capsys.readouterr().out


def test_what_is_not_priced_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    transformer = "_target_: torch.nn.Transformer, d_model: 8, nhead: 2, num_encoder_layers: 1, num_decoder_layers: 1"
    price(f"model={{{transformer}, batch_first: true}}", "input=[[1,5,8],[1,4,8]]")
    assert not capsys.readouterr().err
    with pytest.raises(UserError, match="30 parameters are in no layer"):
        price(
            "model={_target_: torch.nn.Embedding, num_embeddings: 10, embedding_dim: 3}",
            "input=[1,3]",
            "input_dtype=int64",
        )


MISTAKES = {
    "no such model": ("model=torch.nn.Cov2d input=[1]", "model._target_=torch.nn.Cov2d cannot be imported"),
    "no network": ("model=os.getcwd input=[1]", "gives a str, not a torch.nn.Module"),
    "missing argument": ("model=torch.nn.Linear input=[1]", "model.in_features is missing"),
    "refused argument": ("model={_target_:timm.create_model,model_name:no_net} input=[1]", "no_net"),
    "no input": ("model=torch.nn.ReLU", "model= is given without input="),
    "no model": ("input=[1,3]", "input= is given without model="),
    "input that does not fit": ("model=torchvision.models.resnet18 input=[1,4,8,8]", "fails on input=[1, 4, 8, 8]"),
    "bad shape": ("model=torch.nn.ReLU input=[1,x]", "give a shape such as"),
    "bad type": ("model=torch.nn.ReLU input=[1] input_dtype=float8", "input_dtype=float8 is unknown"),
    "nothing to price": ("model=torch.nn.ReLU input=[1]", "no layers to price"),
    "no such arch": ("arch=none", "arch=none is neither a file"),
    "both": ("arch=digits_mixed model=torch.nn.ReLU input=[1]", "price one of them at a time"),
    "output that is a file": (f"output={__file__}", "is a file"),
    "output in a file": (f"output={__file__}/prices", "prices cannot be written (Not a directory)"),
    "output that cannot be made": ("output=/proc/prices", "output=/proc/prices cannot be written"),
    "space of another task": ("space=transformer_v1", "space=transformer_v1 is not a space of images"),
    "task of another space": ("task=gettext_en_de space=digits", "space=digits is not a space of transformers"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str) -> None:
    overrides, message = MISTAKES[mistake]
    with pytest.raises(UserError) as caught:
        price(*overrides.split())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_mistake_is_one_line_for_the_user(tmp_path: Path) -> None:
    assert "arch=none" in failed_in_one_line(run_command("shiftaddnas", "price", "arch=none", folder=tmp_path))

"""The figures of docs/accelerator.md, computed again."""

import re
from pathlib import Path

import pytest
from accelerator_presets import accelerator
from recorded_networks import MIX_V3, image_network

GUIDE = (Path(__file__).parents[2] / "docs" / "accelerator.md").read_text()
LAYERS = image_network(MIX_V3, 224, last_stride=2)


def rows(header: str) -> list[list[str]]:
    """The cells of the table under a header."""
    table = re.search(rf"{re.escape(header)}\n\|[-|]+\n((?:\|.*\n)+)", GUIDE)
    assert table, header
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


@pytest.mark.parametrize("cells", rows("| replaced | settings | energy | mult | add | shift | latency |"))
def test_what_each_assumption_does(cells: list[str]) -> None:
    _, settings, *figures = cells
    settings = settings.strip("`")
    preset, *overrides = ["eyeriss_released_168", *settings.split()] if "=" in settings else [settings]
    cost = accelerator(preset, *overrides).estimate(LAYERS)
    by_kind = dict.fromkeys(("mult", "add", "shift"), 0.0)
    for layer, values in cost.layers:
        by_kind[layer.arithmetic] += values["energy_mj"]
    computed = [cost.values["energy_mj"], *by_kind.values(), cost.values["latency_ms"]]
    assert [f"{value:.2f}" for value in computed] == figures


@pytest.mark.parametrize("cells", rows("| preset | multiplications | adds | shifts |"))
def test_what_operators_save(cells: list[str]) -> None:
    preset, *figures = cells
    model = accelerator(preset.strip("`"))
    energies = []
    for operator in ("conv", "add", "shift"):
        stages = [re.sub("conv|add|shift", operator, stage) for stage in MIX_V3]
        layers = image_network(stages, 224, last_stride=2)
        energies.append(model.estimate(layers).values["energy_mj"])
    conv, *others = energies
    computed = [f"{conv:.2f}", *(f"{other:.2f} ({100 * (other / conv - 1):+.0f} %)" for other in others)]
    assert computed == figures


def test_every_preset_is_in_the_guide() -> None:
    shipped = {path.stem for path in (Path(__file__).parents[2] / "conf" / "hardware").glob("eyeriss*.yaml")}
    assert {name.strip("`") for name, _ in rows("| preset | what it is |")} == shipped
    assert set(re.findall(r"`(eyeriss\w+)`", GUIDE)) <= shipped

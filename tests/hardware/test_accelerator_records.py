"""The presets with released rules against what the released ShiftAddNAS simulator recorded of nine image networks and
seven translation networks: totals and single layers always, every layer where the folder of records is given."""

import csv
import os
from collections import defaultdict
from pathlib import Path

import pytest
from accelerator_presets import accelerator
from recorded_networks import (
    MIX_V3,
    MIX_V4,
    TRANSLATION_NETWORKS,
    decoder_layers,
    encoder_layers,
    image_network,
)

from shiftaddnas.hardware import AcceleratorModel, Layer

SPEC = os.environ.get("SHIFTADDNAS_SPEC")
COLUMNS = (
    "energy_mj",
    "input_mj",
    "weight_mj",
    "output_mj",
    "compute_mj",
    "dram_mj",
    "dram_buffer_mj",
    "buffer_mj",
    "noc_mj",
    "rf_mj",
)
IMAGE_NETWORKS = {
    "bossnet_T0_mix_v3_distilled": (MIX_V3, 2),
    "bossnet_T1_mix_v3_distilled": (MIX_V3, 1),
    "bossnet_T1_mix_v3_distilled_Q": (MIX_V3, 1),
    "bossnet_T0_mix_v4_distilled_Q": (MIX_V4, 2),
    "bossnet_T1_mix_v4_distilled_Q": (MIX_V4, 1),
}
# Recorded with one of two arrays: energies of multiplication, add and shift layers in mJ, latency in ms.
IMAGE_RECORDS = [
    ("bossnet_T0_mix_v3_distilled", 224, "eyeriss_released_168", 214.81, 20.76, 6.69, 206.40),
    ("bossnet_T0_mix_v3_distilled", 256, "eyeriss_released_168", 274.68, 27.11, 8.65, 255.60),
    ("bossnet_T0_mix_v3_distilled", 288, "eyeriss_released_168", 341.43, 34.32, 10.82, 257.37),
    ("bossnet_T1_mix_v3_distilled", 224, "eyeriss_released_168", 413.17, 20.76, 6.69, 387.66),
    ("bossnet_T1_mix_v3_distilled_Q", 256, "eyeriss_released_168", 536.63, 27.11, 8.65, 464.79),
    ("bossnet_T0_mix_v4_distilled_Q", 224, "eyeriss_released_168", 199.63, 0.0, 20.18, 181.06),
    ("bossnet_T0_mix_v4_distilled_Q", 256, "eyeriss_released", 255.04, 0.0, 26.02, 219.16),
    ("bossnet_T1_mix_v4_distilled_Q", 224, "eyeriss_released", 393.43, 0.0, 19.80, 252.70),
    ("bossnet_T1_mix_v4_distilled_Q", 256, "eyeriss_released", 516.99, 0.0, 26.02, 428.35),
]
# Energy in mJ and latency in ms.
TRANSLATION_RECORDS = [
    ("100ms_Aug_14", "eyeriss_translation", 41.18, 25.17),
    ("150ms_Aug_14", "eyeriss_translation", 49.18, 30.22),
    ("200ms_Aug_4", "eyeriss_translation", 61.12, 37.73),
    ("350ms_Aug_14", "eyeriss_translation", 70.04, 43.10),
    ("350ms@8bits", "eyeriss_translation_8bit", 25.29, 17.23),
    ("base_27.3", "eyeriss_translation", 69.41, 41.82),
    ("big_28.4", "eyeriss_translation", 214.34, 130.25),
]


def image_layers(name: str, image_size: int) -> list[Layer]:
    stages, last_stride = IMAGE_NETWORKS[name]
    return image_network(stages, image_size, last_stride=last_stride)


@pytest.mark.parametrize(("name", "image_size", "preset", "mult_mj", "add_mj", "shift_mj", "latency_ms"), IMAGE_RECORDS)
def test_totals_of_image_networks(
    name: str, image_size: int, preset: str, mult_mj: float, add_mj: float, shift_mj: float, latency_ms: float
) -> None:
    cost = accelerator(preset).estimate(image_layers(name, image_size))
    by_kind = dict.fromkeys(("mult", "add", "shift"), 0.0)
    for layer, values in cost.layers:
        by_kind[layer.arithmetic] += values["energy_mj"]
    assert by_kind == pytest.approx({"mult": mult_mj, "add": add_mj, "shift": shift_mj}, abs=0.0051)
    assert cost.values["latency_ms"] == pytest.approx(latency_ms, abs=0.0051)


@pytest.mark.parametrize(("name", "preset", "energy_mj", "latency_ms"), TRANSLATION_RECORDS)
def test_totals_of_translation_networks(name: str, preset: str, energy_mj: float, latency_ms: float) -> None:
    network = TRANSLATION_NETWORKS[name]
    values = accelerator(preset).estimate(encoder_layers(network) + decoder_layers(network)).values
    assert values["energy_mj"] == pytest.approx(energy_mj, abs=0.0051)
    assert values["latency_ms"] == pytest.approx(latency_ms, abs=0.0051)


# From the records of T0_mix_v4 and, for the add layers, T0_mix_v3 at 224 pixels: energy, latency (s), input, weight,
# output, compute, DRAM, its way to the buffer, buffer, NoC, register files. Add layers have nothing on the first three.
IMAGE_LAYERS = {
    ("v4", "stem"): (
        *(5.2231811072, 0.003211264, 0.9914376192000001, 1.8224123904000002, 1.9726794752),
        *(0.4366516224, 0.44154879999999996, 0.0, 0.0623788032, 0.16560087040000002, 4.1170010112),
    ),
    ("v4", "stage1.0.conv1"): (
        *(0.6784999424, 0.000401408, 0.2228617216, 0.21643919360000002, 0.19167232000000003),
        *(0.047526707200000004, 0.1835008, 0.0, 0.0534675456, 0.10735943680000001, 0.28664545280000003),
    ),
    ("v4", "stage1.0.se1"): (
        *(0.0019606752000000003, 1.28e-07, 0.0001478656, 0.0017596416, 3.80128e-05),
        *(1.51552e-05, 0.0017472, 0.0, 1.27872e-05, 9.448320000000001e-05, 9.104960000000002e-05),
    ),
    ("v4", "head1"): (
        *(0.928905864, 5.1200000000000004e-05, 0.020824064000000003, 0.8798207999999998, 0.0206834),
        *(0.0075776, 0.8204192, 0.0, 0.007413024, 0.04802304000000001, 0.045473000000000006),
    ),
    ("v4", "stage3.2.mix"): (
        *(0.4218086208, 0.000401408, 0.1188368384, 0.16148549760000003, 0.10509864960000001),
        *(0.0363876352, 0.0555072, 0.0, 0.0289615872, 0.08225508480000002, 0.21869711360000002),
    ),
    ("v4", "stage2.1.peg"): (
        *(1.4961489715200003, 0.0015052800000000001, 0.30215987200000005, 0.6827950080000001, 0.4961653760000001),
        *(0.015028715520000001, 0.154112, 0.0, 0.052910592, 0.11563417600000002, 1.1584634880000002),
    ),
    ("v3", "stage3.3.conv1"): (
        *(1.1876257792000002, 0.001605632, 0.38021365760000003, 0.7604273152000001, 0.0007426048000000001),
        *(0.0462422016, 0.0, 0.0, 0.0, 0.00037130240000000003, 1.1410122752),
    ),
    ("v3", "stage3.3.peg"): (
        *(4.001234944, 0.004816896, 0.8554807296000001, 1.7109614592000002, 1.3307478016000003),
        *(0.1040449536, 0.0, 0.0, 0.0, 0.19010682880000002, 3.7070831616000004),
    ),
}


@pytest.mark.parametrize(("network", "name"), IMAGE_LAYERS)
def test_single_layers_of_image_networks(network: str, name: str) -> None:
    energy, latency_s, *parts = IMAGE_LAYERS[network, name]
    layers = image_network({"v3": MIX_V3, "v4": MIX_V4}[network], 224, last_stride=2)
    (layer,) = (layer for layer in layers if layer.name == name)
    analysis = accelerator("eyeriss_released_168").analyse(layer)
    assert [getattr(analysis, column) for column in COLUMNS] == pytest.approx([energy, *parts], rel=1e-9)
    assert analysis.latency_ms == pytest.approx(latency_s * 1e3, rel=1e-9)


@pytest.mark.skipif(SPEC is None, reason="SHIFTADDNAS_SPEC names no folder with energy_records_vision.csv")
def test_every_layer_of_the_image_networks() -> None:
    records = _records("energy_records_vision.csv", "model", "input_px")
    assert len(records) == len(IMAGE_RECORDS)
    for name, image_size, preset, *_ in IMAGE_RECORDS:
        rows = records[name, str(image_size)]
        layers = image_layers(name, image_size)
        for kind in ("conv", "add", "shift", "linear", "matmul"):
            of_kind = [row for row in rows if row["layer_type"].removesuffix("_q") == kind]
            _compare(accelerator(preset), [layer for layer in layers if _kind(layer) == kind], of_kind)
        assert len(layers) == len(rows)


@pytest.mark.skipif(SPEC is None, reason="SHIFTADDNAS_SPEC names no folder with energy_records_translation.csv")
def test_every_layer_of_the_translation_networks() -> None:
    records = _records("energy_records_translation.csv", "network", "part")
    for name, preset, *_ in TRANSLATION_RECORDS:
        network = TRANSLATION_NETWORKS[name]
        _compare(accelerator(preset), encoder_layers(network), records[name, "encoder"])
        _compare(accelerator(preset), decoder_layers(network), records[name, "decoder"])


def _records(file: str, *keys: str) -> dict[tuple[str, ...], list[dict[str, str]]]:
    records = defaultdict(list)
    with (Path(str(SPEC)) / file).open() as text:
        for row in csv.DictReader(text):
            records[tuple(row[key] for key in keys)].append(row)
    return records


def _kind(layer: Layer) -> str:
    if layer.op == "conv2d":
        return "conv" if layer.arithmetic == "mult" else layer.arithmetic
    return layer.op


def _compare(model: AcceleratorModel, layers: list[Layer], rows: list[dict[str, str]]) -> None:
    for layer, row in zip(layers, rows, strict=True):
        analysis = model.analyse(layer)
        recorded = [float(row[column]) for column in COLUMNS]
        assert [getattr(analysis, column) for column in COLUMNS] == pytest.approx(recorded, rel=1e-9), (layer, row)
        assert analysis.latency_ms == pytest.approx(float(row["latency_s"]) * 1e3, rel=1e-9), (layer, row)

"""Translation networks as priced layers: against the records of the released simulator, and against sums by hand."""

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from released_networks import SHIPPED_NETWORKS, V3, ReleasedNetwork, transformer

from composed import built
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import AcceleratorModel, Layer
from tasks.translation.config import SuperShape, TransformerConfig
from tasks.translation.counts import term_macs
from tasks.translation.lowering import Lowering, network_layers
from tasks.translation.terms import (
    CrossTerm,
    FeedForwardTerm,
    OperatorTerm,
    TranslationWorkload,
    VocabularyTerm,
    network_terms,
)

SPEC = os.environ.get("SHIFTADDNAS_SPEC")
PAIR = TranslationWorkload(source_length=30, target_length=30, beam=1, vocab_size=32_768)
SMALL = SuperShape(16, 16, 32, 32, 4, 4, 2, 2, qkv_dim=8, kernel_sizes=(3, 5))
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


@cache
def accelerator(preset: str) -> AcceleratorModel:
    model: AcceleratorModel = built("hardware", f"hardware={preset}")
    return model


def layers_of(
    config: TransformerConfig, shape: SuperShape, lowering: Lowering, workload: TranslationWorkload = PAIR
) -> list[Layer]:
    return [layer for term in network_terms(config, shape) for layer in network_layers(term, shape, workload, lowering)]


def shipped(name: str) -> TransformerConfig:
    return SHIPPED_NETWORKS[f"wmt_en_de/v3_{name}"].config


def as_recorded_at_8_bits() -> TransformerConfig:
    """Its heads are not those of its arch file."""
    config = shipped("350ms_jul13")
    encoder = tuple(
        replace(layer, heads=heads) for layer, heads in zip(config.encoder, (4, 4, 4, 4, 4, 16), strict=True)
    )
    decoder = tuple(
        replace(layer, heads=heads, cross_heads=cross)
        for layer, heads, cross in zip(config.decoder, (16, 4, 4, 4, 4), (8, 4, 4, 4, 4), strict=True)
    )
    return replace(config, encoder=encoder, decoder=decoder)


# What the released simulator recorded: energy in mJ and latency in ms.
RECORDS = [
    ("100ms_Aug_14", shipped("100ms_update"), "eyeriss_translation", 41.18, 25.17),
    ("150ms_Aug_14", shipped("150ms_update"), "eyeriss_translation", 49.18, 30.22),
    ("200ms_Aug_4", shipped("200ms_update"), "eyeriss_translation", 61.12, 37.73),
    ("350ms_Aug_14", shipped("350ms_update"), "eyeriss_translation", 70.04, 43.10),
    ("350ms@8bits", as_recorded_at_8_bits(), "eyeriss_translation_8bit", 25.29, 17.23),
    ("base_27.3", transformer(512, 2048, 8), "eyeriss_translation", 69.41, 41.82),
    ("big_28.4", transformer(1024, 4096, 16), "eyeriss_translation", 214.34, 130.25),
]


@pytest.mark.parametrize(
    ("name", "config", "preset", "energy_mj", "latency_ms"), RECORDS, ids=lambda value: str(value)[:14]
)
def test_recorded_totals(
    name: str, config: TransformerConfig, preset: str, energy_mj: float, latency_ms: float
) -> None:
    values = accelerator(preset).estimate(layers_of(config, V3, "released")).values
    assert values["energy_mj"] == pytest.approx(energy_mj, abs=0.0051)
    assert values["latency_ms"] == pytest.approx(latency_ms, abs=0.0051)


# The decoder of 200ms_Aug_4: energy, input, weight, output, compute, DRAM and latency in s, by the layer's place.
DECODER_LAYERS = {
    0: (0.20736962560000002, 0.04126310400000001, 0.1125646336, 0.038992896, 0.014548992, 0.0616448, 1.2288e-4),
    3: (0.025951152, 0.010690560000000002, 0.008412672000000001, 0.00514296, 0.00170496, 0.00912, 1.44e-5),
    6: (0.03788272, 0.0069273600000000005, 0.017588224, 0.006092640000000002, 0.007274496, 0.010112, 3.072e-5),
    7: (0.0009093120000000001, 0.00022732800000000003, 0.00045465600000000006, 1.13664e-4, 1.13664e-4, 0, 1.024e-6),
    10: (
        1.0120620032,
        0.24757862400000002,
        0.45791313920000004,
        0.21927628800000004,
        0.08729395200000001,
        None,
        7.3728e-4,
    ),
}


@pytest.mark.parametrize("place", DECODER_LAYERS)
def test_recorded_layers(place: int) -> None:
    config = shipped("200ms_update")
    decoder = decoder_of(layers_of(config, V3, "released"), config)
    analysis = accelerator("eyeriss_translation").analyse(decoder[place])
    energy, inputs, weights, outputs, compute, dram, latency_s = DECODER_LAYERS[place]
    found = [analysis.energy_mj, analysis.input_mj, analysis.weight_mj, analysis.output_mj, analysis.compute_mj]
    assert found == pytest.approx([energy, inputs, weights, outputs, compute], rel=1e-9)
    assert analysis.latency_ms == pytest.approx(1e3 * latency_s, rel=1e-9)
    if dram is not None:
        assert analysis.dram_mj == pytest.approx(dram, rel=1e-9)


def decoder_of(layers: list[Layer], config: TransformerConfig) -> list[Layer]:
    """The layers behind the encoder's last feed-forward network."""
    ends = [number for number, layer in enumerate(layers) if layer.name == "fc2"]
    return layers[ends[len(config.encoder) - 1] + 1 :]


@pytest.mark.skipif(SPEC is None, reason="SHIFTADDNAS_SPEC names no folder with energy_records_translation.csv")
@pytest.mark.parametrize(("name", "config", "preset"), [record[:3] for record in RECORDS], ids=[r[0] for r in RECORDS])
def test_every_recorded_layer(name: str, config: TransformerConfig, preset: str) -> None:
    rows = defaultdict(list)
    with (Path(str(SPEC)) / "energy_records_translation.csv").open() as text:
        for row in csv.DictReader(text):
            rows[row["network"], row["part"]].append(row)
    layers = layers_of(config, V3, "released")
    model = accelerator(preset)
    for layer, row in zip(layers, [*rows[name, "encoder"], *rows[name, "decoder"]], strict=True):
        analysis = model.analyse(layer)
        expected = [float(row[column]) for column in COLUMNS]
        assert [getattr(analysis, column) for column in COLUMNS] == pytest.approx(expected, rel=1e-9), (layer, row)
        assert analysis.latency_ms == pytest.approx(float(row["latency_s"]) * 1e3, rel=1e-9), (layer, row)


@pytest.mark.parametrize("network", SHIPPED_NETWORKS.values(), ids=lambda network: network.name)
def test_released_layers_have_the_released_number_of_parameters(network: ReleasedNetwork) -> None:
    layers = layers_of(network.config, network.shape, "released")
    assert sum(layer.num_params for layer in layers) == network.num_params


def taps(layers: Iterable[Layer], where: Callable[[Layer], bool] = lambda layer: True) -> int:
    return sum(layer.num_taps for layer in layers if where(layer))


@pytest.mark.parametrize("network", SHIPPED_NETWORKS.values(), ids=lambda network: network.name)
def test_one_pass_has_the_macs_of_its_flops(network: ReleasedNetwork) -> None:
    """The released FLOPs are those of linear layers and products, and besides them of norms, scales and masks."""
    layers = layers_of(network.config, network.shape, "forward")
    counted = taps(layers, lambda layer: layer.op != "conv2d" and layer.name != "output")
    operators = [*network.config.encoder, *network.config.decoder]
    attentive = sum(layer.operator.startswith("self_attention") for layer in operators)
    lengths = 30
    widths = len(network.config.encoder) * 2 * network.config.encoder_embed_dim
    widths += len(network.config.decoder) * 3 * network.config.decoder_embed_dim
    widths += network.config.encoder_embed_dim + network.config.decoder_embed_dim
    num_attentions = attentive + len(network.config.decoder)
    rest = lengths * (widths + 512 * num_attentions) + 2 * lengths + 3 * num_attentions
    assert 2 * (counted + rest) == network.flops


def test_shift_and_add_layers_are_priced_as_such() -> None:
    def kinds(operator: str, side: str = "encoder") -> list[tuple[str, str]]:
        term = OperatorTerm(side, operator, 16, 2, 3, 32)  # type: ignore[arg-type]
        return [(layer.name, layer.arithmetic) for layer in network_layers(term, SMALL, PAIR, "decoding")]

    assert kinds("lightweight_add") == [("linear1", "mult"), ("depthwise", "add"), ("linear2", "mult")]
    assert kinds("lightweight_conv")[1] == ("depthwise", "mult")
    assert kinds("lightweight_shiftadd")[1:3] == [("shift", "shift"), ("depthwise", "add")]
    attention = [("self.qkv", "mult"), ("self.scores", "mult"), ("self.mix", "mult"), ("self.out", "mult")]
    assert kinds("self_attention") == attention
    assert kinds("self_attention+lightweight_shiftadd", "decoder") == attention + kinds("lightweight_shiftadd")
    feed_forward = network_layers(FeedForwardTerm(16, 32, "shift", 32, "encoder"), SMALL, PAIR, "decoding")
    assert [layer.arithmetic for layer in feed_forward] == ["shift", "shift"]


def test_parameters_of_single_terms_by_hand() -> None:
    def count(*terms: OperatorTerm | CrossTerm | FeedForwardTerm | VocabularyTerm) -> int:
        return sum(layer.num_params for term in terms for layer in network_layers(term, SMALL, PAIR, "decoding"))

    linear16 = 16 * 16 + 16
    linear8 = 8 * 8 + 8
    norm = 2 * 16
    assert count(OperatorTerm("encoder", "lightweight_conv", 16, 2, 3, 32)) == 2 * linear16 + 4 * 3 + norm
    # A shift layer has exponents and signs; the branches have halves of 16 channels and 4 kernels.
    branches = 3 * linear8 + linear8 + 2 * linear8 + (2 * 8 * 8 + 8) + 4 * 5 + norm
    assert count(OperatorTerm("decoder", "self_attention+lightweight_shiftadd", 16, 2, 5, 32)) == branches
    cross = (16 * 8 + 8) + 2 * (12 * 8 + 8) + (8 * 16 + 16) + norm
    assert count(CrossTerm(16, 12, 2, 2)) == cross
    assert count(FeedForwardTerm(16, 32, "linear", 32, "encoder")) == 16 * 32 + 32 + 32 * 16 + 16 + norm
    assert count(FeedForwardTerm(16, 32, "shift", 32, "encoder")) == 2 * 16 * 32 + 32 + 2 * 32 * 16 + 16 + norm
    assert count(VocabularyTerm(12, 16)) == count(VocabularyTerm(16, 12)) == 32_768 * 16


@pytest.mark.parametrize("target_length", [1, 6, 7])
def test_decoding_counts_its_steps(target_length: int) -> None:
    """By hand, step after step: each hypothesis with the keys it has by then, the source's keys made once."""
    beam, source, width, qkv, ffn, vocabulary = 3, 5, 16, 8, 32, 11
    workload = TranslationWorkload(source, target_length, beam, vocabulary)
    network = transformer(width, ffn, 2)
    config = TransformerConfig(width, width, network.encoder[:2], (replace(network.decoder[0], cross_span=1),))
    decoder = decoder_of(layers_of(config, SMALL, "decoding", workload), config)
    expected = Counter({"cross.kv": 2 * source * width * 2 * qkv})
    for step in range(1, target_length + 1):
        expected["self.qkv"] += beam * width * 3 * qkv
        expected["self.scores"] += beam * qkv * step
        expected["self.mix"] += beam * qkv * step
        expected["self.out"] += beam * qkv * width
        expected["cross.q"] += beam * width * qkv
        expected["cross.scores"] += beam * qkv * 2 * source
        expected["cross.mix"] += beam * qkv * 2 * source
        expected["cross.out"] += beam * qkv * width
        expected["fc1"] += beam * width * ffn
        expected["fc2"] += beam * ffn * width
    assert {layer.name: layer.num_taps for layer in decoder} == expected
    assert {layer.steps for layer in decoder if layer.op == "linear"} == {1, target_length}
    (output,) = network_layers(VocabularyTerm(width, width), SMALL, workload, "decoding")
    assert output.num_taps == beam * target_length * width * vocabulary


def test_the_operator_over_time_in_one_pass_and_in_steps() -> None:
    workload = TranslationWorkload(5, 7, 2, 11)
    term = OperatorTerm("decoder", "self_attention+lightweight_add", 16, 2, 3, 32)
    forward, steps = (
        next(layer for layer in network_layers(term, SMALL, workload, lowering) if layer.name == "depthwise")
        for lowering in ("forward", "decoding")
    )
    assert forward.num_taps == 7 * 8 * 3
    assert steps.num_taps == 2 * 7 * 8 * 3
    assert (forward.H, forward.E, forward.padding, steps.H, steps.E, steps.padding) == (7, 7, 1, 3, 1, 0)


def test_the_encoder_is_computed_once() -> None:
    term = OperatorTerm("encoder", "self_attention", 16, 2, 0, 32)
    workload = replace(PAIR, beam=4)
    assert network_layers(term, SMALL, workload, "decoding") == network_layers(term, SMALL, workload, "forward")


def test_bits_are_those_of_layers_that_are_quantised() -> None:
    config = replace(shipped("350ms_jul13"), num_bits=8)
    bits = {layer.name: (layer.weight_bits, layer.act_bits) for layer in layers_of(config, V3, "decoding")}
    assert {name for name, pair in bits.items() if pair == (32, 32)} == {
        "output",
        "shift",
        *(name for name in bits if name.startswith("cross.")),
    }
    assert set(bits.values()) == {(8, 8), (32, 32)}


@pytest.mark.parametrize("name", ["source_length", "target_length", "beam", "vocab_size"])
def test_an_empty_workload_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"workload {name}=0; give a whole number of at least 1"):
        replace(PAIR, **{name: 0})


def test_macs_are_a_sum_over_terms() -> None:
    assert term_macs(VocabularyTerm(12, 16), SMALL, 5, 7) == 5 * 13 + 7 * 17


def test_searched_bits_have_a_price_where_the_hardware_knows_them() -> None:
    settings = ("task=gettext_en_de", "space.num_bits=[32,8]")
    space, hardware = built("space", *settings), built("hardware", *settings, "hardware=eyeriss_fair_by_bits")
    cost = hardware.bind(space, PAIR)
    arch = space.sample(np.random.default_rng(0))
    wide, narrow = (space.arch(arch.as_dict() | {"num_bits": bits}) for bits in (32, 8))
    quantised = [layer for term in space.terms(narrow) for layer in space.layers(term, PAIR) if layer.act_bits == 8]
    full, fix8 = (accelerator(name).estimate(quantised).values for name in ("eyeriss_fair", "eyeriss_fair_8bit"))
    for metric in ("energy_mj", "latency_ms"):
        saved = cost(wide).values[metric] - cost(narrow).values[metric]
        assert saved > 0
        assert saved == pytest.approx(full[metric] - fix8[metric], rel=1e-9)

from dataclasses import replace
from typing import Any

import pytest
from accelerator_presets import accelerator
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_networks import TRANSLATION_NETWORKS, decoder_layers, encoder_layers

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import AcceleratorModel, Arithmetic, CostError, Layer
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload

PRESETS = [
    "eyeriss_released",
    "eyeriss_released_168",
    "eyeriss_released_8bit",
    "eyeriss_translation",
    "eyeriss_translation_8bit",
    "eyeriss_fair",
    "eyeriss_fair_8bit",
]
# 1x1, 256 to 64 maps of 14x14
POINTWISE = Layer("a", "main", "conv2d", "mult", N=1, C=256, M=64, H=14, W=14, E=14, F=14, num_params=16_384)
DEPTHWISE = Layer(
    *("b", "peg", "conv2d", "mult"), N=1, C=64, M=64, H=14, W=14, E=14, F=14, R=3, S=3, padding=1, groups=64
)
SCORES = Layer("c", "attention", "matmul", "mult", N=49, C=64, M=49, second_operand="activation", repeat=4)
KINDS: tuple[Arithmetic, ...] = ("mult", "add", "shift")


@pytest.mark.parametrize(
    ("preset", "arithmetic", "energy_mj", "latency_s"),
    [
        ("eyeriss_released", "mult", 0.1757229568, 1.14688e-4),
        ("eyeriss_released", "add", 0.0743658496, 1.00352e-4),
        ("eyeriss_released", "shift", 0.05161786432, 3.584e-5),
        ("eyeriss_released_8bit", "mult", 0.0375182464, 2.8672e-5),
        ("eyeriss_released_8bit", "add", 0.01796526592, 2.8672e-5),
        ("eyeriss_released_8bit", "shift", 0.046172062336, 8.96e-6),
    ],
)
def test_released_figures_of_a_layer(preset: str, arithmetic: Arithmetic, energy_mj: float, latency_s: float) -> None:
    analysis = accelerator(preset).analyse(replace(POINTWISE, arithmetic=arithmetic))
    assert analysis.energy_mj == pytest.approx(energy_mj, rel=1e-9)
    assert analysis.latency_ms == pytest.approx(latency_s * 1e3, rel=1e-9)


@pytest.mark.parametrize(("arithmetic", "energy_mj"), [("mult", 0.0364368), ("shift", 0.0448202543)])
def test_without_the_prefilter_the_released_formula_finds_better_tilings_at_8_bits(
    arithmetic: Arithmetic, energy_mj: float
) -> None:
    model = accelerator("eyeriss_released_8bit", "tiling.prefilter=false")
    assert model.analyse(replace(POINTWISE, arithmetic=arithmetic)).energy_mj == pytest.approx(energy_mj, rel=1e-6)


def test_a_layer_by_hand() -> None:
    # Four outputs of one position from two inputs: everything fits, each value moves once, and with so large a price
    # of DRAM the best tiling reads each once. E = F = 1, so M and C are all there is to split.
    layer = Layer("fc", "ffn", "linear", "add", N=1, C=2, M=4, num_params=12)
    analysis = accelerator("eyeriss_fair", "access_pj.dram_buffer=1").analyse(layer)
    # 2 inputs, 8 weights and 4 outputs, of 32 bits: two words of 16 bits each
    assert analysis.dram_mj == pytest.approx((2 + 8 + 4) * 2 * 200e-9, rel=1e-12)
    assert analysis.dram_buffer_mj == pytest.approx((2 + 4) * 2 * 1e-9, rel=1e-12)
    assert analysis.compute_mj == pytest.approx(8 * 2 * 0.9e-9, rel=1e-12)
    # each is read once by the PEs: the weights 8 times, the inputs once for each of the 4 outputs
    t = analysis.tiling
    assert (t.M3, t.M0 * t.M1 * t.M2, t.C0 * t.C1 * t.C2, t.N0, t.N3, t.E1, t.E3, t.copies1) == (1, 4, 2, 1, 1, 1, 1, 1)
    assert analysis.latency_ms == pytest.approx(t.M0 * t.M2 * t.C0 * t.C2 / 250e3, rel=1e-12)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_parts_add_up(preset: str, kind: Arithmetic) -> None:
    model = accelerator(preset, "access_pj.dram_buffer=10")
    for layer in (POINTWISE, DEPTHWISE, SCORES):
        a = model.analyse(replace(layer, arithmetic=kind))
        levels = a.dram_mj + a.dram_buffer_mj + a.buffer_mj + a.noc_mj + a.rf_mj
        assert a.compute_mj + levels == pytest.approx(a.energy_mj, rel=1e-12)
        assert a.compute_mj + a.input_mj + a.weight_mj + a.output_mj == pytest.approx(a.energy_mj, rel=1e-12)
        values = model.price(replace(layer, arithmetic=kind))
        parts = [values[name] for name in values if name.endswith("_mj") and name != "energy_mj"]
        assert sum(parts) == pytest.approx(values["energy_mj"], rel=1e-12)


def test_counts_are_those_of_the_layer() -> None:
    values = accelerator("eyeriss_fair").price(replace(POINTWISE, arithmetic="shift"))
    counts = {name: value for name, value in values.items() if name.startswith("num_")}
    taps = 256 * 64 * 14 * 14
    assert counts == {"num_params": 16_384, "num_macs": taps, "num_mults": 0, "num_adds": taps, "num_shifts": taps}
    values = accelerator("eyeriss_released").price(replace(DEPTHWISE, arithmetic="add"))
    assert (values["num_macs"], values["num_adds"]) == (64 * 9 * 196, 64 * 9 * 196)


# Each assumption alone


def test_on_chip_leaves_partial_sums_and_registers() -> None:
    layer = replace(POINTWISE, arithmetic="add")
    off, on = (accelerator("eyeriss_released", f"rules.add.on_chip={on}").analyse(layer) for on in ("false", "true"))
    assert (on.dram_mj, on.dram_buffer_mj, on.buffer_mj) == (0, 0, 0)
    assert 0 < on.noc_mj < off.noc_mj
    # partial sums alone pass from PE to PE: C2 (C1 R - 1) times, at least once, 7.4 pJ each
    assert on.noc_mj == pytest.approx(max(on.tiling.C2 * (on.tiling.C1 - 1), 1) * 64 * 196 * 7.4e-9, rel=1e-12)
    assert on.rf_mj > 0


def test_bits_scale_the_operands_that_have_them() -> None:
    # So small a layer has the same best tiling whatever its bits are.
    base = accelerator("eyeriss_fair", "tiling.objective=latency")
    wide_weights = accelerator("eyeriss_fair", "tiling.objective=latency", "rules.mult.weight_bits=64")
    wide_acts = accelerator("eyeriss_fair", "tiling.objective=latency", "rules.mult.act_bits=64")
    layer = replace(POINTWISE, C=2, M=2)
    a, w, x = (model.analyse(layer) for model in (base, wide_weights, wide_acts))
    assert a.tiling == w.tiling == x.tiling
    assert w.weight_mj == pytest.approx(2 * a.weight_mj)
    assert (w.input_mj, w.output_mj) == (a.input_mj, a.output_mj)
    assert (x.input_mj, x.output_mj) == pytest.approx((2 * a.input_mj, 2 * a.output_mj))
    assert x.weight_mj == a.weight_mj


def test_a_second_operand_that_is_an_activation_has_the_bits_of_activations() -> None:
    linear = replace(SCORES, op="linear", second_operand="weight")
    model = accelerator("eyeriss_fair", "rules.mult.weight_bits=8")
    assert model.analyse(SCORES) == accelerator("eyeriss_fair").analyse(SCORES)
    assert model.analyse(linear).weight_mj < model.analyse(SCORES).weight_mj


def test_a_speedup_shortens_the_cycles() -> None:
    slow, fast = (
        accelerator("eyeriss_released", f"rules.mult.speedup={speedup}").analyse(POINTWISE) for speedup in (1, 3.2)
    )
    assert fast.latency_ms == pytest.approx(slow.latency_ms / 3.2, rel=1e-12)
    assert fast.energy_mj == slow.energy_mj


def test_dense_groups_price_a_depthwise_layer_as_a_dense_one() -> None:
    dense = accelerator("eyeriss_released").analyse(replace(DEPTHWISE, groups=1))
    assert accelerator("eyeriss_released").analyse(DEPTHWISE) == dense
    alone = accelerator("eyeriss_released", "lowering.dense_groups=false").analyse(DEPTHWISE)
    assert alone.compute_mj == pytest.approx(dense.compute_mj / 64, rel=1e-12)
    assert alone.energy_mj < dense.energy_mj / 10


def test_groups_and_heads_share_the_array() -> None:
    # One group takes 14 x 3 = 42 PEs at most, so 4 of the 64 fit 168 side by side: 16 turns of 14 columns by 3 taps.
    grouped = accelerator("eyeriss_fair", "tiling.objective=latency").analyse(DEPTHWISE)
    assert (grouped.tiling.E1, grouped.tiling.copies1) == (14, 4)
    assert grouped.latency_ms == pytest.approx(16 * 14 * 3 / 250e3, rel=1e-12)
    one = replace(DEPTHWISE, C=1, M=1, groups=1)
    assert grouped.energy_mj == pytest.approx(64 * accelerator("eyeriss_fair").analyse(one).energy_mj, rel=1e-12)


def test_merged_repeats_are_one_larger_batch() -> None:
    assert accelerator("eyeriss_released").analyse(SCORES) == accelerator("eyeriss_released").analyse(
        replace(SCORES, N=4 * 49, repeat=1)
    )
    apart = accelerator("eyeriss_fair").analyse(SCORES)
    assert apart.energy_mj == pytest.approx(
        4 * accelerator("eyeriss_fair").analyse(replace(SCORES, repeat=1)).energy_mj
    )


def test_square_kernels_replace_those_of_sequences_alone() -> None:
    sequence = Layer(
        *("d", "lightweight_depthwise", "conv2d", "mult"), N=32, C=8, M=8, H=30, E=30, R=15, padding=7, groups=8
    )
    squared = accelerator("eyeriss_translation").analyse(sequence)
    assert squared == accelerator("eyeriss_translation").analyse(replace(sequence, R=3, S=3))
    straight = accelerator("eyeriss_translation", "lowering.square_kernels=false").analyse(sequence)
    assert straight.compute_mj == pytest.approx(squared.compute_mj * 15 / 9, rel=1e-12)
    image = accelerator("eyeriss_translation").analyse(DEPTHWISE)
    assert image == accelerator("eyeriss_translation", "lowering.square_kernels=false").analyse(DEPTHWISE)


def test_a_rule_for_a_role_holds_for_every_arithmetic() -> None:
    model = accelerator("eyeriss_fair", "role_rules={head: {act_bits: 8, weight_bits: 4, speedup: 2}}")
    assert model.role_rules
    for kind in KINDS:
        layer = replace(POINTWISE, arithmetic=kind)
        assert model.analyse(layer) == accelerator("eyeriss_fair").analyse(layer)
    head = model.analyse(replace(POINTWISE, role="head"))
    assert head.energy_mj < accelerator("eyeriss_fair").analyse(POINTWISE).energy_mj / 2


def test_strict_limits_leave_room() -> None:
    # 14 output rows by 3 kernel rows need all of 42 PEs.
    one = replace(DEPTHWISE, C=1, M=1, groups=1)
    for strict, E1 in (("false", 14), ("true", 7)):
        model = accelerator(
            *("eyeriss_fair", "array.num_pes=42", "tiling.objective=latency", "tiling.pad_rows=false"),
            f"tiling.strict_limits={strict}",
        )
        assert model.analyse(one).tiling.E1 == E1


def test_padded_rows_spread_evenly() -> None:
    # 61 rows are prime: on at most 168 // 5 = 33 columns of PEs they take two turns, of 31 and of 30 rows.
    prime = replace(DEPTHWISE, C=1, M=1, groups=1, H=61, E=61, R=5)
    analysis = accelerator("eyeriss_fair", "tiling.objective=latency").analyse(prime)
    assert (analysis.tiling.E1, analysis.tiling.E3) == (31, 2)
    with pytest.raises(UserError, match=r"num_pes=168: the smallest needs 305; hardware\.tiling\.pad_rows=true"):
        accelerator("eyeriss_fair", "tiling.pad_rows=false").analyse(prime)


@pytest.mark.parametrize(
    ("counting", "mult_pj", "add_pj", "shift_pj"), [("full", 4.6, 1.8, 1.03), ("released", 3.7, 0.9, 0.13)]
)
def test_operations_of_a_tap(counting: str, mult_pj: float, add_pj: float, shift_pj: float) -> None:
    model = accelerator("eyeriss_fair", f"counting={counting}")
    for kind, tap_pj in zip(KINDS, (mult_pj, add_pj, shift_pj), strict=True):
        analysis = model.analyse(replace(POINTWISE, arithmetic=kind))
        assert analysis.compute_mj == pytest.approx(256 * 64 * 196 * tap_pj * 1e-9, rel=1e-12)


# The fair presets


@pytest.mark.parametrize("preset", ["eyeriss_fair", "eyeriss_fair_8bit"])
@settings(max_examples=25, deadline=None)
@given(
    C=st.integers(1, 64),
    M=st.integers(1, 64),
    E=st.integers(1, 20),
    kernel=st.sampled_from([1, 3, 5]),
    depthwise=st.booleans(),
)
def test_at_equal_bits_all_operators_pay_the_same_for_memory_and_time(
    preset: str, C: int, M: int, E: int, kernel: int, depthwise: bool
) -> None:
    model = accelerator(preset)
    shift = model.rules["mult"]
    model.rules["shift"] = shift  # 5-bit weights are the one difference there is
    groups = C if depthwise else 1
    layer = Layer(
        *("x", "main", "conv2d", "mult", 1, C, groups if depthwise else M, E, E, E, E, kernel, kernel), groups=groups
    )
    mult, *others = (model.analyse(replace(layer, arithmetic=kind)) for kind in KINDS)
    for other in others:
        assert replace(other, energy_mj=0, compute_mj=0) == replace(mult, energy_mj=0, compute_mj=0)
        assert other.compute_mj < mult.compute_mj


def test_weights_of_shift_layers_have_5_bits_and_their_activations_those_of_all() -> None:
    for preset, bits in (("eyeriss_fair", 32), ("eyeriss_fair_8bit", 8)):
        rules = accelerator(preset).rules
        assert {kind: (rules[kind].act_bits, rules[kind].weight_bits) for kind in KINDS} == {
            "mult": (bits, bits),
            "add": (bits, bits),
            "shift": (bits, 5),
        }
        assert not any(rule.on_chip or rule.speedup != 1 for rule in rules.values())


@pytest.mark.parametrize("preset", ["eyeriss_fair", "eyeriss_fair_8bit"])
def test_fair_presets_price_every_layer_there_is(
    preset: str, digits_space: HybridSpace, hytra_space: HybridSpace
) -> None:
    model = accelerator(preset)
    spaces = [
        (digits_space, ImageWorkload(8, 1, 10)),
        (hytra_space, ImageWorkload(32, 3, 10)),  # down to maps of one position
        (hytra_space, ImageWorkload(224, 3, 1000)),
        (hytra_space, ImageWorkload(32 * 61, 3, 1000)),  # prime map sizes
    ]
    for space, workload in spaces:
        low, high = model.bind(space, workload).extremes()["energy_mj"]
        assert 0 < low < high
    for network in TRANSLATION_NETWORKS.values():
        values = model.estimate(encoder_layers(network) + decoder_layers(network)).values
        assert values["energy_mj"] > 0
        assert values["latency_ms"] > 0
    for tokens in (1, 31, 997):
        for kernel in (3, 31):
            layer = Layer(
                *("x", "lightweight_depthwise", "conv2d", "add"), N=1, C=512, M=512, H=tokens, E=tokens, R=kernel
            )
            assert model.analyse(replace(layer, groups=512)).energy_mj > 0


# Promises and refusals


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_keep_the_promises_of_a_cost_model(preset: str) -> None:
    model = accelerator(preset)
    assert model.name == preset
    assert "Eyeriss (ISCA 2016)" in model.source
    assert model.metrics[0].name == "energy_mj"
    check_hardware_cost(model, TinySpace(), 8)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 48), st.integers(1, 48), st.sampled_from(KINDS))
def test_energy_is_above_its_arithmetic_and_its_first_reads(C: int, M: int, kind: Arithmetic) -> None:
    layer = replace(POINTWISE, C=C, M=M, arithmetic=kind)
    a = accelerator("eyeriss_fair").analyse(layer)
    least_reads = (C * 196 + M * 196) * 400e-9 + C * M * (62.5e-9 if kind == "shift" else 400e-9)
    assert a.dram_mj >= least_reads * (1 - 1e-12)
    assert min(a.compute_mj, a.buffer_mj, a.noc_mj, a.rf_mj, a.latency_ms) > 0


@pytest.mark.parametrize(
    ("overrides", "layer", "message"),
    [
        ((), replace(DEPTHWISE, H=2, W=2, E=1, F=1, stride=2), r"layer b .*pad_rows=false .* there is one"),
        ((), replace(DEPTHWISE, H=113, E=113), r"layer b .*num_pes=192, of which not all.*: the smallest needs 339"),
        ((), replace(DEPTHWISE, R=13, S=13), r"layer b .*input_words=12, of which not all may be used.* needs 13"),
        (("array.weight_words=3",), DEPTHWISE, r"layer b .*weight_words=3, .* needs 3"),
        (("array.buffer_words=90",), DEPTHWISE, r"layer b .*buffer_words=90, .* needs 92"),
    ],
)
def test_a_layer_without_a_tiling_and_the_limit_it_fails_at(
    overrides: tuple[str, ...], layer: Layer, message: str
) -> None:
    model = accelerator("eyeriss_released", *overrides)
    with pytest.raises(UserError, match=message):
        model.analyse(layer)
    with pytest.raises(CostError, match=f"eyeriss_released failed on layer b .*{message}"):
        model.estimate([layer])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("array.num_pes=0", r"^hardware\.array\.num_pes=0 is not allowed; give a whole number from 1$"),
        ("array.num_pes=1.5", r"^hardware\.array\.num_pes=1\.5: "),
        ("array.clock_mhz=0", r"^hardware\.array\.clock_mhz=0\.0 is not allowed; give a number above 0$"),
        ("access_pj.rf=-1", r"^hardware\.access_pj\.rf=-1\.0 is not allowed; give a number from 0$"),
        ("array.num_pe=1", r"^hardware\.array\.num_pe=1: Unexpected"),
        ("access_pj.sram=1", r"^hardware\.access_pj\.sram=1: Unexpected"),
        ("rules.add.onchip=true", r"^hardware\.rules\.add\.onchip=True: Unexpected"),
        ("lowering.pad=true", r"^hardware\.lowering\.pad=True: Unexpected"),
        ("tiling.pad=true", r"^hardware\.tiling\.pad=True: Unexpected"),
        ("energies_pj.shift=.inf", r"^hardware\.energies_pj\.shift=inf "),
        ("rules.add.act_bits=0", r"^hardware\.rules\.add\.act_bits=0\.0 is not allowed; give a number above 0$"),
        ("rules.add.on_chip=often", r"^hardware\.rules\.add\.on_chip='often': "),
        ("rules.shift.speedup=-2", r"^hardware\.rules\.shift\.speedup=-2\.0 "),
        ("tiling.objective=best", r"^hardware\.tiling\.objective='best': .*'released', 'energy', 'latency'"),
        ("counting=twice", r"^hardware\.counting='twice': "),
        ("role_rules={peg: {act_bits: 8, weight_bits: 0}}", r"^hardware\.role_rules\.peg\.weight_bits=0\.0 "),
    ],
)
def test_wrong_settings_are_refused_in_one_line(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        accelerator("eyeriss_fair", override)


def test_every_arithmetic_needs_an_energy_and_a_rule() -> None:
    fair = accelerator("eyeriss_fair")
    given: dict[str, Any] = {
        name: getattr(fair, name) for name in ("access_pj", "energies_pj", "rules", "lowering", "tiling")
    }
    for name in ("energies_pj", "rules"):
        short = {kind: value for kind, value in given[name].items() if kind != "add"}
        with pytest.raises(UserError, match=rf"^hardware\.{name} has mult, shift; it needs just mult, add, shift$"):
            AcceleratorModel("x", fair.array, **{**given, name: short})

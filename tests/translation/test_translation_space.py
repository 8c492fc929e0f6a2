"""The spaces of hybrid transformers against the sizes of the released ones, and against their own promises."""

from dataclasses import replace

import numpy as np
import pytest
from released_networks import SHIPPED_NETWORKS

from composed import built
from shiftaddnas.errors import UserError
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.space import check_space
from tasks.translation import TranslationSpace, TranslationWorkload

WORKLOAD = TranslationWorkload(source_length=30, target_length=30, beam=4, vocab_size=1000)
SPACES = ("transformer_v1", "transformer_v2", "transformer_v3", "transformer_en_fr", "transformer_iwslt", "gettext")


def space_of(name: str, *overrides: str) -> TranslationSpace:
    space: TranslationSpace = built("space", f"space={name}", *overrides)
    return space


@pytest.fixture(scope="module")
def v3() -> TranslationSpace:
    return space_of("transformer_v3")


def closed_form(
    widths: int,
    ffn: int,
    heads: int,
    cross: int,
    operators: tuple[int, int],
    dec_ffn: int | None = None,
    depth: int = 6,
) -> tuple[int, int]:
    """Numbers of encoders and decoders: widths, then what each layer may choose."""
    per_layer = (dec_ffn or ffn) * heads * cross * 3 * operators[1]
    return widths * (ffn * heads * operators[0]) ** depth, widths * sum(per_layer**k for k in range(1, depth + 1))


@pytest.mark.parametrize(
    ("name", "encoders", "decoders", "published"),
    [
        ("transformer_hat", *closed_form(2, 3, 2, 2, (1, 1)), 4.2e14),
        ("transformer_v1", *closed_form(2, 3, 2, 2, (7, 7)), 5.65e24),
        ("transformer_v2", *closed_form(2, 3, 2, 2, (7, 4)), 1.97e23),
        ("transformer_v3", *closed_form(3, 4, 3, 3, (7, 4)), 2.06e28),
        ("transformer_en_fr", *closed_form(3, 4, 3, 3, (7, 4), dec_ffn=3), 3.67e27),
        ("transformer_iwslt", *closed_form(4, 4, 4, 4, (7, 4), dec_ffn=3), None),
        ("gettext", *closed_form(2, 2, 2, 2, (7, 4), depth=3), None),
    ],
)
def test_sizes(name: str, encoders: int, decoders: int, published: float | None) -> None:
    size = space_of(name).size()
    assert size == encoders * decoders
    if published is not None:
        assert size == pytest.approx(published, rel=5e-3 if published > 1e15 else 1e-2)


def test_the_factors_of_published_sizes() -> None:
    assert closed_form(2, 3, 2, 2, (1, 1)) == (93_312, 4_477_952_232)
    encoders, decoders = closed_form(3, 4, 3, 3, (7, 4))
    assert (f"{encoders:.4e}", f"{decoders:.4e}") == ("1.0539e+12", "1.9545e+16")


@pytest.mark.parametrize("name", SPACES)
def test_space_conforms(name: str) -> None:
    check_space(space_of(name), WORKLOAD)


@pytest.mark.parametrize("lowering", ["forward", "released"])
def test_space_conforms_in_every_lowering(lowering: str) -> None:
    check_space(space_of("gettext", f"space.lowering={lowering}"), WORKLOAD)


def test_an_enumerable_space_conforms() -> None:
    """2 x 1 x 2 x (1 + 2 x 3 x 2) archs of one encoder layer and up to two decoder layers."""
    space = space_of(
        "gettext",
        "space.encoder.embed_dims=[128]",
        "space.encoder.num_layers=[1]",
        "space.shape.encoder_layers=1",
        "space.encoder.operators=[self_attention,lightweight_shiftadd]",
        "space.encoder.heads=[4]",
        "space.encoder.ffn_dims=[256]",
        "space.decoder.embed_dims=[96]",
        "space.decoder.num_layers=[2,1]",
        "space.decoder.operators=[self_attention,self_attention+lightweight_add]",
        "space.decoder.heads=[4]",
        "space.decoder.cross_heads=[4,2]",
        "space.decoder.cross_spans=[-1]",
        "space.decoder.ffn_dims=[256]",
        "space.decoder.ffn=[any,linear,linear]",
        "space.num_bits=[32,8]",
    )
    first, second = 2 * 2 * 2, 2 * 2
    assert space.size() == 2 * 2 * (first + first * second)
    check_space(space, WORKLOAD)


@pytest.mark.parametrize("hardware", ["asic45nm", "transformer_flops"])
def test_costs_conform(hardware: str) -> None:
    check_hardware_cost(built("hardware", f"hardware={hardware}"), space_of("gettext"), WORKLOAD)


def test_options_that_are_fixed_do_not_change_the_size(v3: TranslationSpace) -> None:
    ffn = "[linear,shift,shift,shift,shift,linear]"
    fixed = space_of("transformer_v3", f"space.encoder.ffn={ffn}", f"space.decoder.ffn={ffn}", "space.num_bits=[8]")
    assert fixed.size() == v3.size()
    searched = space_of(
        "transformer_v3", "space.encoder.ffn=[any,any,any,linear,linear,linear]", "space.num_bits=[32,8]"
    )
    assert searched.size() == v3.size() * 2**3 * 2


def test_random_archs_have_every_depth_alike(v3: TranslationSpace) -> None:
    rng = np.random.default_rng(0)
    depths = [len(v3.config(v3.sample(rng)).decoder) for _ in range(600)]
    assert np.all(np.abs(np.bincount(depths, minlength=7)[1:] - 100) < 45)  # 5 standard deviations
    many = v3.sample_many(600, rng)
    assert np.mean([v3.config(arch).decoder.__len__() for arch in many]) == pytest.approx(3.5, abs=0.4)


def test_a_child_has_a_depth_of_a_parent_and_layers_of_both(v3: TranslationSpace) -> None:
    rng = np.random.default_rng(1)
    first, second = v3.sample(rng), v3.sample(rng)
    while first["decoder_layers"] == second["decoder_layers"]:
        second = v3.sample(rng)
    children = [v3.crossover(first, second, rng) for _ in range(50)]
    for child in children:
        v3.validate(child)
        for name, choice in child.decisions:
            assert choice in {parent.as_dict().get(name) for parent in (first, second)}
    assert {child["decoder_layers"] for child in children} == {first["decoder_layers"], second["decoder_layers"]}


def test_mutation_changes_depths(v3: TranslationSpace) -> None:
    rng = np.random.default_rng(2)
    arch = v3.sample(rng)
    mutants = [v3.mutate(arch, rng, probability=0.3) for _ in range(60)]
    assert len({mutant["decoder_layers"] for mutant in mutants}) == 6


@pytest.mark.parametrize("name", ["transformer_v3", "gettext"])
def test_configs_and_archs_are_the_same_choices(name: str) -> None:
    space, rng = (
        space_of(
            name,
            "space.encoder.ffn=[any,any,any,any,any,any]" if name != "gettext" else "space.encoder.ffn=[any,any,any]",
        ),
        np.random.default_rng(3),
    )
    for _ in range(50):
        arch = space.sample(rng)
        assert space.arch_of(space.config(arch)) == arch


def test_a_config_of_another_space_is_refused(v3: TranslationSpace) -> None:
    config = SHIPPED_NETWORKS["wmt_en_de/v3_100ms_update"].config
    with pytest.raises(
        UserError, match=r"encoder_embed_dim=640 is not in space transformer_v3; allowed here: 1024, 768, 512"
    ):
        v3.arch_of(replace(config, encoder_embed_dim=640))


def test_baselines_of_the_same_shape(v3: TranslationSpace) -> None:
    arch = v3.arch_of(SHIPPED_NETWORKS["wmt_en_de/v3_200ms"].config)
    assert v3.describe(arch) == "512: SA+LC SA+LC SA+LC SA+LS SA+LS SA+LC | 768: SA+LC SA SA"
    assert v3.describe(v3.all_multiplication(arch)) == "512: SA SA SA SA SA SA | 768: SA SA SA"
    assert v3.describe(v3.all_cheap(arch)) == "512: LS LS LS LS LS LS | 768: SA+LS SA+LS SA+LS"
    convolutions = v3.with_operators(arch, ("lightweight_conv", "self_attention+lightweight_conv"), "linear")
    assert v3.describe(convolutions) == "512: LC LC LC LC LC LC | 768: SA+LC SA+LC SA+LC"
    shifted = space_of("gettext", "space.decoder.ffn=[any,any,any]")
    cheap = shifted.config(shifted.all_cheap(shifted.sample(np.random.default_rng(0))))
    assert {layer.ffn for layer in cheap.decoder} == {"shift"}
    assert {layer.ffn for layer in cheap.encoder} == {"linear"}


def test_restricted_keeps_sides_that_have_none_of_the_operators(v3: TranslationSpace) -> None:
    restricted = v3.restricted(("lightweight_conv", "lightweight_add"))
    assert restricted.encoder.operators == ("lightweight_conv", "lightweight_add")
    assert restricted.decoder == v3.decoder


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["space.encoder.embed_dims=[2048]"], r"space.encoder.embed_dims=\[2048\]; space.shape allows 1 to 1024"),
        (["space.encoder.embed_dims=[1000]"], "holds 1000, which lightweight_conv cannot share out .* multiple of 16"),
        (["space.decoder.heads=[16,3]"], "space.decoder.heads holds 3, which does not divide 512"),
        (["space.decoder.cross_heads=[]"], "space.decoder.cross_heads=.*; give at least one option, each once"),
        (["space.encoder.num_layers=[6,2]"], "space.decoder.cross_spans=.* sees 3 encoder layers, of which .* 2"),
        (["space.encoder.operators=[conv]"], "Input should be"),
        (["space.encoder.ffn=[shift]"], "space.encoder.ffn has 1 entries; give one for each of 6 layers"),
        (["space.shape.kernel_sizes=[3,5]"], "space.shape.kernel_sizes=.*; give a size for each of the 6 layers"),
        (["space.shape.kernel_sizes=[3,7,15,31,31,32]"], "kernels have an odd size"),
        (["space.num_bits=[64]"], r"space.num_bits=\[64\]; give different numbers of 2 to 16, or 32 for floating"),
        (["space.num_bits=[8,17]"], r"space.num_bits=\[8, 17\]; give different"),
        (["space.num_bits=[8,8]"], r"space.num_bits=\[8, 8\]; give different"),
        (["+space.decoder.depths=[6]"], "space.decoder.depths.*Unexpected"),
        (["space.lowering=honest"], "space.lowering='honest'"),
    ],
)
def test_contradictions_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        space_of("transformer_v3", *overrides)

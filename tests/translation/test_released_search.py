"""Released sampling, objective and FLOPs limit against what the released ShiftAddNAS code draws and logs."""

import random

import numpy as np
import pytest
from released_networks import EN_FR, FOUND_NETWORKS, OPERATORS, SHIPPED_NETWORKS, V3

from composed import built
from shiftaddnas.errors import UserError
from tasks.translation import TranslationSpace, TranslationWorkload
from tasks.translation.objective import coefficient_flops, released_objective
from tasks.translation.released_sampling import released_arch

PAIR = TranslationWorkload(30, 30, 4, 32_768)
# Widths, decoder depth, encoder layers (feed-forward width, heads, operator), decoder layers (feed-forward width,
# heads, heads of cross attention, operator), spans.
DRAWN = {
    0: (
        (768, 768, 4),
        "1024,8,SA+LS 2048,8,LS 3072,4,LC 3072,16,SA+LC 2048,4,SA+LS 3072,8,LC",
        "4096,4,8,SA+LS 4096,8,8,SA+LA 3072,4,8,SA+LS 2048,16,4,SA",
        (-1, 2, 1, 2),
    ),
    1: (
        (1024, 512, 4),
        "4096,8,SA+LA 1024,4,LS 3072,16,SA 1024,8,SA+LC 4096,4,SA 3072,4,SA+LS",
        "2048,16,16,SA 4096,8,4,SA+LC 1024,4,16,SA+LC 1024,8,4,SA+LC",
        (1, -1, 2, -1),
    ),
}
# Objective and raw validation loss of the best network of each released search.
LOGGED = {
    "80": (7.9537, 7.9996),
    "100": (7.9537, 7.9996),
    "120": (7.6164, 7.6600),
    "150": (7.6084, 7.6521),
    "180": (7.6096, 7.6688),
    "200": (7.5811, 7.6412),
    "250": (7.5762, 7.6410),
    "300": (7.5753, 7.6335),
    "350": (7.5730, 7.6362),
    "400": (7.5754, 7.6387),
}


@pytest.fixture(scope="module")
def v3() -> TranslationSpace:
    space: TranslationSpace = built("space", "space=transformer_v3")
    return space


@pytest.mark.parametrize("num_updates", DRAWN)
def test_released_paths(num_updates: int, v3: TranslationSpace) -> None:
    (encoder_width, decoder_width, depth), encoder, decoder, spans = DRAWN[num_updates]
    state = random.getstate()
    config = v3.config(released_arch(v3, num_updates))
    assert random.getstate() == state
    assert (config.encoder_embed_dim, config.decoder_embed_dim, len(config.decoder)) == (
        encoder_width,
        decoder_width,
        depth,
    )
    names = {operator: name for name, operator in OPERATORS.items()}
    assert [f"{one.ffn_dim},{one.heads},{names[one.operator]}" for one in config.encoder] == encoder.split()
    drawn = [f"{one.ffn_dim},{one.heads},{one.cross_heads},{names[one.operator]}" for one in config.decoder]
    assert drawn == decoder.split()
    assert tuple(layer.cross_span for layer in config.decoder) == spans


def test_released_paths_as_a_sampler(v3: TranslationSpace) -> None:
    sampler = built("sampling", "sampling=transformer_released")
    assert not sampler.per_rank
    draws = [sampler.archs_at(step, v3, np.random.default_rng(7)) for step in (0, 1, 0)]
    assert draws == [[released_arch(v3, 0)], [released_arch(v3, 1)], [released_arch(v3, 0)]]
    with pytest.raises(UserError, match="sampling=transformer_released is of translation networks; space digits"):
        sampler.archs_at(0, built("space", "space=digits"), np.random.default_rng(7))


@pytest.mark.parametrize("name", LOGGED)
def test_objective_of_the_released_searches(name: str) -> None:
    """Both logged figures are rounded to four digits."""
    objective, loss = LOGGED[name]
    assert released_objective(loss, FOUND_NETWORKS[name].config, V3) == pytest.approx(objective, abs=1.01e-4)


def test_coefficients_compound() -> None:
    """By hand, for 30 tokens and width 512: six encoder layers, the third of them lightweight, and one of a decoder."""
    attention = 4 * 30 * 512 * 512 + 2 * 30 * 30 * 512
    config = FOUND_NETWORKS["80"].config
    encoder = tuple(
        type(layer)("lightweight_add" if number == 2 else "self_attention", 8, 1024)
        for number, layer in enumerate(config.encoder)
    )
    decoder = (type(config.decoder[0])("self_attention", 8, 2048, 8, -1),)
    config = type(config)(512, 512, encoder, decoder)
    expected = 3 * attention * 0.6 + 3 * attention + 2 * attention - 0.5 * 2 * 30 * 512 * 2048
    assert coefficient_flops(config, V3) == pytest.approx(2 * expected / 1e10, rel=1e-12)


@pytest.mark.parametrize("name", ["wmt_en_de/v3_100ms_update", "wmt_en_de/v3_big", "wmt_en_fr/v1_300ms"])
def test_flops_as_a_cost(name: str) -> None:
    network = SHIPPED_NETWORKS[name]
    space: TranslationSpace = built(
        "space", f"space={'transformer_en_fr' if network.shape == EN_FR else 'transformer_v3'}"
    )
    cost = built("hardware", "hardware=transformer_flops").bind(space, PAIR)
    arch = space.arch_of(network.config)
    assert cost(arch).values == {"flops": network.flops}
    assert cost.batch([arch, arch]) == pytest.approx(np.array([[network.flops]] * 2), rel=1e-15)
    least, greatest = cost.extremes()["flops"]
    assert least < network.flops <= greatest


def test_flops_are_of_translation_networks() -> None:
    with pytest.raises(
        UserError, match="transformer_flops counts FLOPs of translation networks; space digits has none"
    ):
        built("hardware", "hardware=transformer_flops").bind(built("space", "space=digits"), PAIR)

"""Parameters and FLOPs of translation networks against all figures of the released ShiftAddNAS code."""

import pytest
from released_networks import EN_FR, FOUND_NETWORKS, OPERATORS, SHIPPED_NETWORKS, V3, ReleasedNetwork, transformer

from tasks.translation.config import SuperShape
from tasks.translation.counts import flops, num_params, supernet_params

NETWORKS = [*SHIPPED_NETWORKS.values(), *FOUND_NETWORKS.values()]
ALL = tuple(OPERATORS.values())
WITH_ATTENTION = ALL[3:]
V1 = SuperShape(640, 640, 3072, 3072, 8, 8)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.name)
def test_parameters_and_flops_of_the_released_networks(network: ReleasedNetwork) -> None:
    assert num_params(network.config, network.shape) == network.num_params
    assert flops(network.config, network.shape) == network.flops


@pytest.mark.parametrize(
    ("width", "ffn_dim", "heads", "params", "operations"),
    [(512, 2048, 8, 44_138_496, 2_677_125_348), (256, 2048, 8, 22_095_360, 1_355_428_068)],
    ids=["base", "scaled-down"],
)
def test_parameters_and_flops_of_transformers(
    width: int, ffn_dim: int, heads: int, params: int, operations: int
) -> None:
    network = transformer(width, ffn_dim, heads)
    assert num_params(network, V3) == params
    assert flops(network, V3) == operations


@pytest.mark.parametrize(
    ("shape", "decoder_operators", "total"),
    [
        (V1, ALL, 134_933_808),
        (V1, WITH_ATTENTION, 115_243_296),
        (V3, WITH_ATTENTION, 251_995_440),
        (EN_FR, WITH_ATTENTION, 239_406_384),
    ],
    ids=["v1", "v2", "v3", "en-fr"],
)
def test_supernets_have_the_parameters_of_the_released_ones(
    shape: SuperShape, decoder_operators: tuple[str, ...], total: int
) -> None:
    assert supernet_params(shape, ALL, decoder_operators) == total


def test_a_longer_pair_has_flops_of_its_own() -> None:
    """By hand: one encoder layer of attention and one decoder layer, all of width 4, over 2 tokens."""
    shape = SuperShape(4, 4, 8, 8, 1, 1, 1, 1, qkv_dim=4, kernel_sizes=(3,))
    network = transformer(4, 8, 1)
    network = type(network)(4, 4, network.encoder[:1], network.decoder[:1])
    linears = 2 * 4 * (3 * 4 + 4) + 2 * 2 * 4 * 8  # encoder
    linears += 2 * (2 * 4 * (3 * 4 + 4)) + 2 * 2 * 4 * 8  # decoder: two attentions
    products = 3 * 2 * 2 * 2 * 4
    norms, queries, embeddings, masks, scalars = 5 * 2 * 4, 3 * 2 * 4, 2 * (4 + 4), 2 + 2, 3 * 3
    assert flops(network, shape, length=2) == 2 * (linears + products + norms + queries + embeddings + masks + scalars)

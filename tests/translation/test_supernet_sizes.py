"""Parameters of supernets and of the networks in them, against the published totals and closed forms."""

from dataclasses import replace

import pytest
import torch
from released_networks import EN_FR, SHIPPED_NETWORKS, V3, ReleasedNetwork
from tiny_transformers import OPERATORS, tiny_config
from torch import nn

from shiftaddnas.errors import UserError
from shiftaddnas.sharing import Independent
from tasks.translation.config import Operator, SuperShape
from tasks.translation.fairseq_adapter import Dictionary
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import LayerSizes, TransformerSizes, path_sizes, super_sizes
from tasks.translation.modules.transformer import HybridTransformer

V1 = SuperShape(640, 640, 3072, 3072, 8, 8)
ATTENTIVE = OPERATORS[3:]


def vocabulary(size: int) -> Dictionary:
    words = Dictionary()
    words.indices.update({f"w{number}": number for number in range(len(words), size)})
    words.symbols.extend(f"w{number}" for number in range(len(words.symbols), size))
    return words


def built(sizes: TransformerSizes, num_words: int = 8) -> HybridTransformer:
    with torch.device("meta"):
        return HybridTransformer(sizes, vocabulary(num_words), sharing=Independent(), settings=TransformerSettings())


def supernet(shape: SuperShape, decoder_operators: tuple[Operator, ...]) -> HybridTransformer:
    encoder = [LayerSizes(shape.encoder_ffn_dim, OPERATORS)] * 6
    return built(super_sizes(shape, encoder, [LayerSizes(shape.decoder_ffn_dim, decoder_operators)] * 6))


def num_params(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def without_embedding(network: HybridTransformer) -> int:
    return num_params(network) - network.encoder.embedding.weight.numel()


@pytest.mark.parametrize(
    ("shape", "decoder_operators", "expected"),
    [
        (V1, OPERATORS, 134_933_808),
        (V1, ATTENTIVE, 115_243_296),  # v2
        (V3, ATTENTIVE, 251_995_440),
        (EN_FR, ATTENTIVE, 239_406_384),
    ],
    ids=["v1", "v2", "v3", "en-fr"],
)
def test_the_released_supernets_have_their_published_sizes(
    shape: SuperShape, decoder_operators: tuple[Operator, ...], expected: int
) -> None:
    assert without_embedding(supernet(shape, decoder_operators)) == expected


def test_the_layers_of_the_published_space_have_their_sizes() -> None:
    network = supernet(V3, ATTENTIVE)
    assert num_params(network.encoder.layers[0]) == 24_146_100
    assert num_params(network.encoder.layers[5]) == 24_147_780
    assert num_params(network.decoder.layers[0]) == 17_851_940
    assert num_params(network.decoder.layers[5]) == 17_852_276


def test_the_embedding_is_one_table() -> None:
    shape = replace(V3, encoder_layers=1, decoder_layers=1)
    encoder, decoder = LayerSizes(4096, ("lightweight_conv",)), LayerSizes(4096, ("self_attention",))
    network = built(super_sizes(shape, [encoder], [decoder]), 32_768)
    assert num_params(network) - num_params(network.encoder.layers) - num_params(network.decoder.layers) == 33_554_432


@pytest.mark.parametrize("released", SHIPPED_NETWORKS.values(), ids=lambda network: network.name)
def test_networks_have_the_published_parameters_and_those_not_counted(released: ReleasedNetwork) -> None:
    """The published counts leave out the signs of shift layers and the normalisation of pure lightweight layers."""
    config = released.config
    network = built(path_sizes(released.shape, config).cut(config))
    operators = [(layer.operator, config.encoder_embed_dim) for layer in config.encoder]
    operators += [(layer.operator, config.decoder_embed_dim) for layer in config.decoder]
    signs = {"lightweight_shiftadd": 1, "self_attention+lightweight_shiftadd": 4}
    uncounted = sum(width**2 // signs[name] for name, width in operators if name in signs)
    uncounted += sum(2 * width for name, width in operators if name.startswith("lightweight"))
    assert without_embedding(network) == released.num_params + uncounted
    assert network.encoder.embedding.weight.shape[1] == max(config.encoder_embed_dim, config.decoder_embed_dim)


@pytest.mark.parametrize("bits", [0, -8, 17])
def test_gradients_of_impossible_bits_are_refused(bits: int) -> None:
    with pytest.raises(UserError, match=rf"^task\.transformer\.grad_bits={bits} is out of range; .* 1 to 16 bits$"):
        TransformerSettings(grad_bits=bits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder_embed_dim": 24}, "encoder_embed_dim=24"),
        ({"decoder_embed_dim": 0}, "decoder_embed_dim=0"),
        ({"num_bits": 8}, "num_bits=8"),
        ({"encoder": tiny_config().encoder * 2}, "6 encoder layers"),
        ({"encoder": tiny_config().encoder[:2]}, "cross_span=2 needs 3 encoder layers"),
        ({"encoder": tiny_config(ffn="shift").encoder}, "ffn=shift"),
        ({"encoder": tiny_config(ffn_dim=25).encoder}, "ffn_dim=25"),
        ({"encoder": tiny_config("lightweight_add").encoder}, "lightweight_add is not offered"),
        ({"encoder": (replace(tiny_config().encoder[0], heads=3),) * 3}, "heads=3"),
        ({"decoder": (replace(tiny_config().decoder[0], cross_heads=5),)}, "cross_heads=5"),
        (
            {"decoder": tiny_config("self_attention+lightweight_conv").decoder, "decoder_embed_dim": 12},
            "choose a multiple of 8",
        ),
    ],
)
def test_a_config_that_is_no_slice_is_refused(change: dict[str, object], message: str) -> None:
    layers = [LayerSizes(24, ("self_attention", "self_attention+lightweight_conv"))] * 3
    sizes = super_sizes(SuperShape(16, 16, 24, 24, 4, 4, 3, 3, 16, (3, 3, 3)), layers, layers)
    sizes.check(tiny_config())
    with pytest.raises(UserError, match=message):
        sizes.check(replace(tiny_config(), **change))  # type: ignore[arg-type]

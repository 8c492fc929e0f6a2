"""Supernet, extracted and standalone networks; what is shared between operators, and what has a gradient."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_transformers import (
    NO_DROPOUT,
    OPERATORS,
    SHAPE,
    batch,
    dictionary,
    randomize_vectors,
    tiny_config,
    tiny_transformer,
)
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import Layer
from shiftaddnas.sharing import SCHEMES, Heterogeneous, Independent, WeightSharing
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.supernet import check_supernet
from shiftaddnas.tracing import trace_layers
from tasks.translation.choices import DecoderChoices, EncoderChoices
from tasks.translation.config import Operator, TransformerConfig
from tasks.translation.fairseq_adapter import SequenceGenerator
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.transformer import HybridTransformer
from tasks.translation.space import TranslationSpace
from tasks.translation.standalone import standalone_network
from tasks.translation.supernet import TranslationSupernet
from tasks.translation.terms import TranslationWorkload

WORKLOAD = TranslationWorkload(source_length=7, target_length=5, beam=1, vocab_size=24)
USED = {name: scheme for name, scheme in SCHEMES.items() if name != "released"}


def tiny_space() -> TranslationSpace:
    return TranslationSpace(
        "tiny",
        SHAPE,
        EncoderChoices(
            embed_dims=(16, 8), num_layers=(3,), operators=OPERATORS, heads=(4, 2), ffn_dims=(24, 16), ffn=("any",) * 3
        ),
        DecoderChoices(
            embed_dims=(16, 8),
            num_layers=(2, 1),
            operators=OPERATORS,
            heads=(4, 2),
            cross_heads=(4, 2),
            cross_spans=(-1, 1, 2),
            ffn_dims=(24, 16),
            ffn=("linear", "shift"),
        ),
        lowering="forward",
    )


class LogitsAlone(nn.Module):
    """A network of fairseq's kind under the interface that the conformance suite calls."""

    def __init__(self, network: HybridTransformer) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        out: Tensor = self.network(**inputs)[0]
        return out


class CheckedSupernet(TranslationSupernet):
    def extract(self, arch: Arch) -> Any:
        return LogitsAlone(super().extract(arch))


def tiny_supernet(
    sharing: WeightSharing | None = None, settings: TransformerSettings = NO_DROPOUT
) -> TranslationSupernet:
    torch.manual_seed(0)
    network = CheckedSupernet(tiny_space(), dictionary(), Independent() if sharing is None else sharing, settings)
    randomize_vectors(network)
    return network


def archs(space: TranslationSpace) -> list[Arch]:
    """One with each operator everywhere, and some random ones."""
    rng = np.random.default_rng(0)
    alike = [space.with_operators(space.sample(rng), (name,), "linear") for name in OPERATORS]
    return [*alike, *(space.sample(rng) for _ in range(4))]


@pytest.mark.parametrize("scheme", USED)
def test_extract_is_activate(scheme: str) -> None:
    supernet = tiny_supernet(USED[scheme]())
    inputs: Any = batch()
    check_supernet(supernet, archs(supernet.translation_space), inputs, WORKLOAD)


def by_kind(layers: tuple[Layer, ...]) -> dict[tuple[str, str, str], int]:
    """Taps by operation, arithmetic and second operand, whatever the cut into layers."""
    taps: dict[tuple[str, str, str], int] = {}
    for layer in layers:
        key = (layer.op, layer.arithmetic, layer.second_operand)
        taps[key] = taps.get(key, 0) + layer.num_taps
    return taps


def test_the_network_computes_the_layers_that_are_priced() -> None:
    space = tiny_space()
    inputs = batch(source=(7,), target=(5,))
    for arch in archs(space):
        network = standalone_network(space, dictionary(), arch, NO_DROPOUT)
        randomize_vectors(network)
        trace = trace_layers(network, *inputs.values())
        assert by_kind(trace.layers) == by_kind(space.arch_layers(arch, WORKLOAD)), space.describe(arch)
        priced = sum(layer.num_params for layer in space.arch_layers(arch, WORKLOAD))
        assert sum(layer.num_params for layer in trace.layers) == priced
        assert not trace.notes


def test_extracting_draws_no_random_numbers() -> None:
    supernet = tiny_supernet()
    state = torch.get_rng_state()
    supernet.extract(supernet.translation_space.sample(np.random.default_rng(0)))
    assert torch.equal(state, torch.get_rng_state())


def test_extracted_networks_keep_their_dropout() -> None:
    """At half the width half the dropout of the super-transformer, with the weights cut or not."""
    supernet = tiny_supernet(settings=TransformerSettings())
    network = supernet.transformer
    config = tiny_config("self_attention+lightweight_conv", width=8, ffn_dim=16)
    arch = supernet.translation_space.arch_of(with_linear_then_shift(config))
    subnet = supernet.train().extract(arch).network
    inputs = batch()
    outputs = []
    for model, choice in ((network, supernet.translation_space.config(arch)), (subnet, None)):
        torch.manual_seed(3)
        outputs.append(model(**inputs, config=choice)[0])
    torch.testing.assert_close(*outputs)
    assert not torch.allclose(outputs[0], network.eval()(**inputs, config=supernet.translation_space.config(arch))[0])


def with_linear_then_shift(config: TransformerConfig) -> TransformerConfig:
    first, second = config.decoder
    return replace(config, decoder=(first, replace(second, ffn="shift")))


@pytest.mark.parametrize("scheme", USED)
def test_gradients_of_what_was_not_sampled_are_none(scheme: str) -> None:
    supernet = tiny_supernet(USED[scheme]())
    space = supernet.translation_space
    for arch in archs(space):
        supernet.zero_grad(set_to_none=True)
        (supernet(batch(), arch).square().sum() + supernet.regularizer(arch)).backward()
        used = {id(parameter) for parameter in supernet.parameters() if parameter.grad is not None}
        config = space.config(arch)
        chosen, offered = set(), set()
        for layer, name in supernet.transformer.used_operators(config):
            chosen |= {id(parameter) for parameter in layer.parameters_of(name)}
        for stack in (supernet.transformer.encoder, supernet.transformer.decoder):
            offered |= {id(parameter) for layer in stack.layers for parameter in layer.operators.parameters()}
        assert used & offered == chosen, space.describe(arch)
        names = {name for name, parameter in supernet.named_parameters() if id(parameter) in used - offered}
        ffns = {f"encoder.layers.{number}.ffn.{layer.ffn}" for number, layer in enumerate(config.encoder)}
        ffns |= {f"decoder.layers.{number}.ffn.{layer.ffn}" for number, layer in enumerate(config.decoder)}
        found = {".".join(name.split(".")[1:6]) for name in names if ".ffn." in name}
        assert found == ffns
        depth = {name.split(".")[3] for name in names if "decoder.layers" in name}
        assert depth == {str(number) for number in range(len(config.decoder))}


def test_gradients_outside_the_slice_are_zero() -> None:
    network = tiny_transformer()
    network(**batch(), config=tiny_config(width=8, ffn_dim=16))[0].square().sum().backward()
    weight = network.encoder.layers[0].ffn["linear"].fc1.weight.grad
    assert weight is not None
    assert weight[:16, :8].any(0).all()
    assert not weight[16:].any()
    assert not weight[:, 8:].any()
    embedding = network.encoder.embedding.weight.grad
    assert embedding is not None
    assert not embedding[:, 8:].any()


def lightweight_group(network: HybridTransformer, *, beside_attention: bool) -> nn.Module:
    operators = network.encoder.layers[0].operators
    group: nn.Module = operators.branch_lightweight if beside_attention else operators.lightweight
    return group


@pytest.mark.parametrize("beside_attention", [False, True])
@pytest.mark.parametrize("scheme", USED)
def test_what_the_lightweight_candidates_share(scheme: str, beside_attention: bool) -> None:
    group: Any = lightweight_group(tiny_transformer(USED[scheme]()), beside_attention=beside_attention)
    owned = {name: {id(parameter) for parameter in group.parameters_of(name)} for name in ("conv", "add", "shiftadd")}
    shift = {id(parameter) for parameter in group.shift.parameters()}
    assert shift <= owned["shiftadd"]
    common = owned["conv"] & owned["add"] & owned["shiftadd"]
    maps = {"independent": None, "shared": 0, "quantile": 1, "heterogeneous": 2}[scheme]  # gain; gain and slopes
    if maps is None:
        assert not (owned["conv"] & owned["add"]) | (owned["add"] & owned["shiftadd"])
        assert [len(owned[name]) for name in ("conv", "add", "shiftadd")] == [5, 5, 8]
        return
    assert len(common) == 3  # the taps, and the weights of both linear layers
    assert len(owned["conv"]) == 3 + 2  # the biases of both
    assert len(owned["add"]) == 5 + maps
    assert len(owned["shiftadd"]) == 5 + maps + 3  # exponents, signs and bias of the shift layer
    assert not (owned["add"] - common) & owned["shiftadd"]


def test_adders_see_the_shared_kernel_through_their_map_and_then_the_softmax() -> None:
    group: Any = lightweight_group(tiny_transformer(Heterogeneous()), beside_attention=False)
    logits = group.logits
    conv, add = (logits.weights(name, "taps")[0].flatten(1) for name in ("conv", "add"))
    map_ = logits.maps["add"]["taps"]
    torch.testing.assert_close(add, map_(logits.shared["taps"]).flatten(1))
    assert not torch.allclose(add, conv)
    seen = []
    handle = group.depthwise["add"].register_forward_hook(lambda _module, args, _out: seen.append(args[1]))
    group(torch.randn(5, 1, 16), "add")
    handle.remove()
    torch.testing.assert_close(seen[0], add)


def test_the_regularizer_is_that_of_the_kernels_in_use() -> None:
    supernet = tiny_supernet(Heterogeneous(divergence_weight=0.5))
    space = supernet.translation_space
    base = space.sample(np.random.default_rng(0))

    def regularizer(name: Operator) -> Tensor:
        return supernet.regularizer(space.with_operators(base, (name,), "linear"))

    for name in ("self_attention", "lightweight_conv", "self_attention+lightweight_conv"):
        assert regularizer(name) == 0
    arch = space.with_operators(base, ("lightweight_add",), "linear")
    config = space.config(arch)
    stacks = [(supernet.transformer.encoder, 3), (supernet.transformer.decoder, len(config.decoder))]
    terms = [
        layer.operators.lightweight.logits.divergence("add", "taps")
        for stack, number in stacks
        for layer in list(stack.layers)[:number]
    ]
    torch.testing.assert_close(regularizer("lightweight_add"), 0.5 * sum(terms) / len(terms))
    assert regularizer("self_attention+lightweight_shiftadd") > 0
    independent = tiny_supernet()
    assert independent.regularizer(arch) == 0


def test_freezing_one_operator() -> None:
    supernet = tiny_supernet(Heterogeneous())
    supernet.freeze(["lightweight_conv"])
    operators: Any = supernet.transformer.encoder.layers[0].operators
    assert not operators.lightweight.logits.shared["taps"].requires_grad
    assert operators.lightweight.logits.maps["add"]["taps"].gain.requires_grad
    assert operators.attention.in_proj.weight.requires_grad
    assert operators.branch_lightweight.logits.shared["taps"].requires_grad


def test_an_operator_that_some_layers_lack_has_the_parameters_of_the_others() -> None:
    space = tiny_space()
    alone = TranslationSpace("some", SHAPE, space.encoder, replace(space.decoder, operators=("self_attention",)))
    supernet = TranslationSupernet(alone, dictionary(), Independent(), NO_DROPOUT)
    found = {id(parameter) for parameter in supernet.operator_parameters("lightweight_add")}
    encoder = {id(parameter) for parameter in supernet.transformer.encoder.layers.parameters()}
    assert found
    assert found <= encoder


def test_the_released_image_sharing_is_refused() -> None:
    with pytest.raises(UserError, match="sharing=independent"):
        tiny_supernet(SCHEMES["released"]())


def test_activated_supernets_translate() -> None:
    supernet = tiny_supernet()
    arch = supernet.translation_space.sample(np.random.default_rng(1))
    generator = SequenceGenerator([supernet.transformer], dictionary(), beam_size=4, max_len_b=6)
    with supernet.activate(arch):
        found = generator.generate([supernet.transformer], {"net_input": batch()})
    subnet: Any = supernet.extract(arch)
    again = SequenceGenerator([subnet.network], dictionary(), beam_size=4, max_len_b=6)
    expected = again.generate([subnet.network], {"net_input": batch()})
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert torch.equal(one["tokens"], other["tokens"])
            torch.testing.assert_close(one["score"], other["score"])


def test_activation_ends_and_nests() -> None:
    network = tiny_transformer()
    wide, narrow = tiny_config(), tiny_config(width=8)
    with network.activate(wide):
        with network.activate(narrow):
            assert network(**batch())[0].equal(network(**batch(), config=narrow)[0])
        assert network(**batch())[0].equal(network(**batch(), config=wide)[0])
    with pytest.raises(AssertionError, match="activate"):
        network(**batch())
    with pytest.raises(UserError, match="ffn_dim=99"), network.activate(tiny_config(ffn_dim=99)):
        pass


@pytest.mark.parametrize("init", ["own", "super"])
def test_fresh_weights_of_a_standalone_network(init: Any) -> None:
    """Xavier's bound for the network's own width, or for the super-transformer's."""
    space = tiny_space()
    arch = space.arch_of(with_linear_then_shift(tiny_config("self_attention", width=8, ffn_dim=16)))
    torch.manual_seed(0)
    network = standalone_network(space, dictionary(), arch, NO_DROPOUT, init=init)
    weight = network.encoder.layers[0].ffn["linear"].fc1.weight
    assert weight.shape == (16, 8)
    bound = (6 / (16 + 8)) ** 0.5 if init == "own" else (6 / (24 + 16)) ** 0.5
    assert 0.9 * bound < weight.abs().max().item() <= bound
    assert network(**batch())[0].shape == (3, 6, 24)
    assert network.training
    with pytest.raises(UserError, match="init=half"):
        standalone_network(space, dictionary(), arch, NO_DROPOUT, init="half")  # type: ignore[arg-type]


def test_supernets_load_their_weights() -> None:
    supernet, other = tiny_supernet(), tiny_supernet()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_weights(supernet.state_dict(), "weights")
    arch = supernet.translation_space.sample(np.random.default_rng(0))
    assert torch.equal(supernet.eval()(batch(), arch), other.eval()(batch(), arch))
    with pytest.raises(UserError, match="another supernet"):
        other.load_weights(tiny_supernet(Heterogeneous()).state_dict(), "weights")

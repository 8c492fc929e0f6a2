"""What the networks compute, against fairseq's transformer and against formulas written out."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_transformers import (
    NO_DROPOUT,
    batch,
    dictionary,
    randomize_vectors,
    tiny_config,
    tiny_transformer,
    with_bits,
)
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops import Precision, fake_quantize_per_row, fake_quantize_per_tensor
from shiftaddnas.sharing import Independent
from tasks.translation.config import Operator
from tasks.translation.fairseq_adapter import (
    LabelSmoothedCrossEntropyCriterion,
    TransformerModelBase,
    transformer_config,
)
from tasks.translation.modules.attention import CrossAttention, SelfAttention
from tasks.translation.modules.embedding import SinusoidalPositions
from tasks.translation.modules.lightweight import LightweightLayers
from tasks.translation.modules.linear import SlicedLinear, SlicedShiftLinear
from tasks.translation.modules.memory import Memory
from tasks.translation.modules.norm import ResidualNorm
from tasks.translation.modules.quantization import Quantizer
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.transformer import HybridTransformer, extracted


def fairseq_transformer() -> nn.Module:
    """fairseq's own transformer: 3 and 2 layers of 16 channels, 4 heads, one embedding for all."""
    config = transformer_config()
    config.share_decoder_input_output_embed, config.dropout = True, 0.0
    for side, layers in ((config.encoder, 3), (config.decoder, 2)):
        side.embed_dim, side.ffn_embed_dim, side.layers, side.attention_heads = 16, 24, layers, 4
    config.decoder.input_dim = config.decoder.output_dim = 16
    words = dictionary()
    table = TransformerModelBase.build_embedding(config, words, 16)
    encoder = TransformerModelBase.build_encoder(config, words, table)
    model = TransformerModelBase(config, encoder, TransformerModelBase.build_decoder(config, words, table))
    randomize_vectors(model)
    return model.eval()


def attention_weights(own: str, theirs: str, state: dict[str, Tensor], *, cross: bool) -> dict[str, Tensor]:
    q, k, v = ({part: state[f"{theirs}.{name}_proj.{part}"] for part in ("weight", "bias")} for name in "qkv")
    projections = {"q_proj": [q], "kv_proj": [k, v]} if cross else {"in_proj": [q, k, v]}
    weights = {
        f"{own}.{name}.{part}": torch.cat([one[part] for one in parts])
        for name, parts in projections.items()
        for part in ("weight", "bias")
    }
    return weights | {f"{own}.out_proj.{part}": state[f"{theirs}.out_proj.{part}"] for part in ("weight", "bias")}


def load_from_fairseq(network: HybridTransformer, model: nn.Module) -> None:
    state = model.state_dict()
    weights = {f"{side}.embedding.weight": state["encoder.embed_tokens.weight"] for side in ("encoder", "decoder")}
    for side, number in [("encoder", 0), ("encoder", 1), ("encoder", 2), ("decoder", 0), ("decoder", 1)]:
        layer = f"{side}.layers.{number}"
        weights |= attention_weights(f"{layer}.operators.attention", f"{layer}.self_attn", state, cross=False)
        names = {
            "operator_norm": "self_attn_layer_norm",
            "ffn.linear.fc1": "fc1",
            "ffn.linear.fc2": "fc2",
            "ffn_norm": "final_layer_norm",
        }
        if side == "decoder":
            weights |= attention_weights(f"{layer}.cross_attention", f"{layer}.encoder_attn", state, cross=True)
            names["cross_norm"] = "encoder_attn_layer_norm"
        for own, theirs in names.items():
            weights |= {f"{layer}.{own}.{part}": state[f"{layer}.{theirs}.{part}"] for part in ("weight", "bias")}
    missing, unexpected = network.load_state_dict(network.state_dict() | weights, strict=True)
    assert not missing
    assert not unexpected


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # fairseq's use of torch
def test_a_network_of_attention_alone_is_fairseqs_transformer() -> None:
    torch.manual_seed(0)
    model, network = fairseq_transformer(), tiny_transformer()
    load_from_fairseq(network, model)
    config = tiny_config(span=-1)
    config = replace(config, decoder=(replace(config.decoder[0], heads=4),) * 2)
    inputs = batch()
    ours, theirs = network(**inputs, config=config)[0], model(**inputs)[0]
    real = inputs["prev_output_tokens"].ne(1)
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=1e-5)


def test_fairseqs_criterion_takes_the_model() -> None:
    network = tiny_transformer()
    words = dictionary()

    class Task:
        target_dictionary = words

    criterion = LabelSmoothedCrossEntropyCriterion(Task(), sentence_avg=False, label_smoothing=0.1)
    inputs = batch()
    target = inputs["prev_output_tokens"].roll(1, 1)
    sample = {"net_input": inputs, "target": target, "ntokens": 14}
    config = tiny_config("self_attention+lightweight_shiftadd")
    with network.activate(config):
        loss, size, _ = criterion(network, sample)
    log_probs = network(**inputs, config=config)[0].log_softmax(-1)
    real = target.ne(1)
    chosen, everything = log_probs.gather(2, target[..., None])[..., 0][real].sum(), log_probs[real].sum()
    share = 0.1 / (len(words) - 1)
    torch.testing.assert_close(loss, -(1 - 0.1 - share) * chosen - share * everything)
    assert size == 14


@pytest.mark.parametrize("width", [16, 8])
def test_positions_are_sines_and_cosines_of_their_own_width(width: int) -> None:
    positions = SinusoidalPositions(16, 1, "per_width")
    tokens = torch.tensor([[1, 1, 5, 6, 2]])
    out = positions(tokens, torch.zeros(1, 5, width))
    assert not out[0, :2].any()
    half = width // 2
    for place, n in ((2, 2), (3, 3), (4, 4)):
        frequencies = [10_000 ** (-k / (half - 1)) for k in range(half)]
        expected = [math.sin(n * f) for f in frequencies] + [math.cos(n * f) for f in frequencies]
        torch.testing.assert_close(out[0, place], torch.tensor(expected))
    torch.testing.assert_close(positions.at(3, torch.zeros(width)), out[0, 4])


def test_truncated_positions_at_half_the_width_are_sines_alone() -> None:
    out = SinusoidalPositions(16, 1, "truncated")(torch.tensor([[5, 6]]), torch.zeros(1, 2, 8))
    expected = [math.sin(3 * 10_000 ** (-k / 7)) for k in range(8)]
    torch.testing.assert_close(out[0, 1], torch.tensor(expected))


def test_positions_of_long_sentences() -> None:
    positions = SinusoidalPositions(8, 1, "per_width")
    positions.at(3, torch.zeros(8))
    torch.testing.assert_close(positions.at(600, torch.zeros(8))[0], torch.tensor(math.sin(601.0)))


def test_linears_use_their_leading_rows_and_columns() -> None:
    torch.manual_seed(0)
    linear, shift = SlicedLinear(6, 5), SlicedShiftLinear(6, 5)
    randomize_vectors(linear)
    x = torch.randn(3, 4)
    torch.testing.assert_close(linear(x, 2), x @ linear.weight[:2, :4].t() + linear.bias[:2])
    exponent, sign = shift.shift[:2, :4].round(), shift.sign[:2, :4].round()
    torch.testing.assert_close(shift(x, 2), x @ (sign * 2**exponent).t() + shift.bias[:2])


@pytest.mark.parametrize("attentive", [False, True])
@pytest.mark.parametrize("name", ["conv", "add", "shiftadd"])
def test_the_layers_of_a_lightweight_operator(name: str, attentive: bool) -> None:
    """Linear, for "shiftadd" a shift layer, the operator over time, linear; beside attention on half the channels."""
    network = tiny_transformer()
    operator: Operator = f"self_attention+lightweight_{name}" if attentive else f"lightweight_{name}"  # type: ignore[assignment]
    torch.manual_seed(1)
    x = torch.randn(5, 2, 8)
    operators = network.encoder.layers[1].operators  # 7 taps
    out = operators(x, operator, 4)
    if attentive:
        torch.testing.assert_close(out[..., :4], operators.branch_attention[name](x[..., :4], 4))
        light, x, out = operators.branch_lightweight, x[..., 4:], out[..., 4:]
    else:
        light = operators.lightweight
    width = x.shape[-1]
    weights = {kernel: light.linears.weights(name, kernel)[0].flatten(1) for kernel in ("linear1", "linear2")}
    h = x @ weights["linear1"][:width, :width].t() + light.linear1[name].bias[:width]
    if name == "shiftadd":
        h = light.shift(h, width)
    logits = light.logits.weights(name, "taps")[0].flatten(1)
    kernel, padded = logits.softmax(1), F.pad(h, (0, 0, 0, 0, 3, 3))
    y = torch.zeros_like(h)
    for t in range(5):
        for c in range(width):
            taps, w = padded[t : t + 7, :, c], kernel[c // (width // 4)][:, None]
            y[t, :, c] = (taps * w).sum(0) if name == "conv" else -(taps - w).abs().sum(0)
    expected = y @ weights["linear2"][:width, :width].t() + light.linear2[name].bias[:width]
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_attention_keeps_its_inner_width() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(16, 12, causal=False, dropout=0.0, quantized=False)
    randomize_vectors(attention)
    x = torch.randn(5, 1, 8)
    q, k, v = (x[:, 0] @ attention.in_proj.weight[:, :8].t() + attention.in_proj.bias).chunk(3, -1)
    mixed = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        mixed.append(((q[:, part] * 4**-0.5) @ k[:, part].t()).softmax(-1) @ v[:, part])
    expected = torch.cat(mixed, -1) @ attention.out_proj.weight[:8].t() + attention.out_proj.bias[:8]
    torch.testing.assert_close(attention(x, 3)[:, 0], expected)


def test_residuals_drop_in_proportion_to_the_width() -> None:
    torch.manual_seed(0)
    norm = ResidualNorm(1000, dropout=0.4, super_dim=1000)
    with torch.no_grad():
        norm.weight.fill_(1.0)
    for width, probability in ((1000, 0.4), (500, 0.2)):
        ones = torch.ones(400, width)
        out = norm.train()(torch.zeros(400, width), ones)
        assert (out < 0).float().mean().item() == pytest.approx(
            probability, abs=0.005
        )  # the dropped are below the mean
        dropped = norm.eval()(torch.zeros(400, width), ones)
        assert not dropped.any()


def test_every_dropout_of_a_network_shrinks_with_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for those of kernels and attention weights, which are the same at every width."""
    rates: list[float] = []
    attention_rates: list[float] = []
    product = F.scaled_dot_product_attention

    def dropout(x: Tensor, p: float, training: bool) -> Tensor:
        rates.append(p if training else 0.0)
        return x

    def attend(*args: Any, dropout_p: float, **kwargs: Any) -> Tensor:
        attention_rates.append(dropout_p)
        return product(*args, **kwargs)

    monkeypatch.setattr(F, "dropout", dropout)
    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)
    network = tiny_transformer(settings=TransformerSettings(dropout=0.3, attention_dropout=0.1, weight_dropout=0.03))
    config = tiny_config("self_attention+lightweight_add", width=8)
    for mode, factor in ((True, 1), (False, 0)):
        network.train(mode)(**batch(), config=config)
        # Embedding, operator and feed-forward network; the decoder's cross attention; five kernels.
        assert sorted(rates) == pytest.approx([0.03 * factor] * 5 + [0.15 * factor] * (1 + 3 * 2 + 1 + 2 * 3))
        assert attention_rates == [0.1 * factor] * (3 + 2 * 2)
        rates.clear()
        attention_rates.clear()


def test_cross_attention_sees_the_layers_of_its_span() -> None:
    states = [torch.full((2, 1, 1), float(number)) for number in range(3)]
    memory = Memory(states, torch.tensor([[True, False]]))
    for span, layers in ((-1, [2]), (1, [1, 2]), (2, [0, 1, 2])):
        outputs, visible = memory.span(span)  # type: ignore[arg-type]
        assert sorted(outputs.flatten().tolist()) == sorted(2 * layers)
        assert visible.flatten().tolist() == [False, True] * len(layers)
    network, inputs = tiny_transformer(), batch()
    outs = [network(**inputs, config=tiny_config(span=span))[0] for span in (-1, 1, 2)]
    assert not torch.allclose(outs[0], outs[1])
    assert not torch.allclose(outs[1], outs[2])


def test_fresh_weights_fit_their_full_size() -> None:
    torch.manual_seed(0)
    linear = SlicedLinear(300, 500)
    assert linear.weight.abs().max().item() == pytest.approx(math.sqrt(6 / 800), rel=1e-3)
    assert not linear.bias.any()
    cross = CrossAttention(200, 300, 100, dropout=0.0)
    assert cross.q_proj.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (300 + 200)), rel=1e-3)
    assert cross.kv_proj.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (300 + 300)), rel=1e-3)
    shift = SlicedShiftLinear(400, 100)
    assert -14 <= shift.shift.min().item() < -13.9
    assert -0.1 < shift.shift.max().item() <= 0
    assert shift.sign.abs().max().item() == pytest.approx(1, abs=1e-2)
    assert shift.bias.abs().max().item() == pytest.approx(1 / 20, rel=5e-2)
    light = LightweightLayers(
        ["conv", "add"],
        400,
        40,
        31,
        causal=False,
        sharing=Independent(),
        settings=NO_DROPOUT,
        quantized=False,
    )
    for name in ("conv", "add"):
        assert light.logits.weights(name, "taps")[0].abs().max().item() == pytest.approx(math.sqrt(6 / 71), rel=1e-2)
        weight = light.linears.weights(name, "linear2")[0]
        assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / 800), rel=1e-3)
        assert not light.linear1[name].bias.any()
    embedding = tiny_transformer().encoder.embedding.weight
    assert embedding[4:].std().item() == pytest.approx(1 / 4, rel=0.2)
    assert not embedding[1].any()


def test_fewer_bits_quantise_inputs_weights_and_biases() -> None:
    network = tiny_transformer(num_bits=(32, 4)).train()
    inputs, config = batch(), tiny_config("self_attention+lightweight_add", span=1)
    layer = network.encoder.layers[0].ffn["linear"].fc1
    seen = []
    handle = layer.register_forward_hook(lambda _module, args, out: seen.append((args[0], out)))
    exact = network(**inputs, config=config)[0]
    coarse = network(**inputs, config=with_bits(config, 4))[0]
    assert torch.equal(network(**inputs, config=config)[0], exact)
    assert not torch.allclose(coarse, exact)
    handle.remove()
    x, y = seen[1]
    weight, bias = fake_quantize_per_row(layer.weight, bits=4), fake_quantize_per_tensor(layer.bias, bits=4)
    torch.testing.assert_close(y, F.linear(fake_quantize_per_tensor(x, bits=4), weight, bias))
    torch.testing.assert_close(seen[0][1], F.linear(seen[0][0], layer.weight, layer.bias))
    quantizers = [module for module in network.modules() if isinstance(module, Quantizer)]
    assert {module.precision for module in quantizers} == {None}
    with network.activate(with_bits(config, 4)):
        network(**inputs)
    assert {module.precision for module in quantizers} == {Precision(4, 8)}


def test_full_precision_networks_have_no_quantisers() -> None:
    assert not [module for module in tiny_transformer().modules() if isinstance(module, Quantizer)]


def test_quantised_networks_are_extracted_with_their_ranges() -> None:
    network = tiny_transformer(num_bits=(32, 8))
    for operator in ("self_attention", "lightweight_conv", "self_attention+lightweight_shiftadd"):
        config = with_bits(tiny_config(operator, width=8, ffn_dim=16), 8)  # type: ignore[arg-type]
        network.train()(**batch(), config=config)
        network.eval()
        torch.testing.assert_close(extracted(network, config)(**batch())[0], network(**batch(), config=config)[0])


@torch.no_grad()
def test_quantised_networks_decode_in_steps_too() -> None:
    network = tiny_transformer(num_bits=(8,))
    config = with_bits(tiny_config("self_attention", "self_attention+lightweight_add"), 8)
    inputs = batch(target=(9, 9, 9))
    network.train()(**inputs, config=config)
    network.eval()
    encoder_out, state = network.encoder(inputs["src_tokens"], config=config), {}
    tokens = inputs["prev_output_tokens"]
    steps = [network.decoder(tokens[:, :length], encoder_out, state, config)[0] for length in range(1, 10)]
    torch.testing.assert_close(torch.cat(steps, 1), network(**inputs, config=config)[0], atol=1e-5, rtol=1e-5)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(UserError, match="weight_dropout=1"):
        TransformerSettings(weight_dropout=1.0)
    with pytest.raises(UserError, match="positions=cosine"):
        TransformerSettings(positions="cosine")  # type: ignore[arg-type]

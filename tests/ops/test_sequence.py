"""Lightweight layers against loops written from the formulas, in float64, and step by step against whole sequences."""

import copy
import itertools
import math
import re
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from shiftaddnas.errors import UserError
from shiftaddnas.ops import Add, Conv, KernelOperator, Lightweight1d, SequencePadding, Shift, lightweight1d
from shiftaddnas.ops.backend import adder_backend

OPERATORS = (Conv(), Add())


def zeros_before(padding: SequencePadding, taps: int) -> int:
    return {"same": taps // 2, "causal": taps - 1, "valid": 0}[padding]


class Results(NamedTuple):
    y: Tensor
    dx: Tensor
    dw: Tensor


def loops(x: Tensor, w: Tensor, g: Tensor, operator: str, before: int) -> Results:
    """Output and, for the output gradient g (T', B, C), the gradients of input and kernel."""
    (length, batch, channels), (heads, taps) = x.shape, w.shape
    xs, ws, gs = x.tolist(), w.tolist(), g.tolist()
    y, dx, dw = torch.zeros_like(g).tolist(), torch.zeros_like(x).tolist(), torch.zeros_like(w).tolist()
    for t, b, c, j in itertools.product(range(g.shape[0]), range(batch), range(channels), range(taps)):
        h, s = c // (channels // heads), t + j - before
        inside = 0 <= s < length
        value, weight, grad = xs[s][b][c] if inside else 0.0, ws[h][j], gs[t][b][c]
        if operator == "conv":
            y[t][b][c] += weight * value
            dw[h][j] += value * grad
            slope = weight
        else:
            y[t][b][c] -= abs(value - weight)
            dw[h][j] += (value - weight) * grad
            slope = max(-1.0, min(1.0, weight - value))
        if inside:
            dx[s][b][c] += slope * grad
    return Results(*(torch.tensor(values, dtype=torch.float64) for values in (y, dx, dw)))


def computed(x: Tensor, w: Tensor, g: Tensor, operator: KernelOperator, padding: SequencePadding) -> Results:
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = lightweight1d(x, w, operator, padding=padding)
    dx, dw = torch.autograd.grad(y, (x, w), g)
    return Results(y.detach(), dx, dw)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def layer(operator: KernelOperator, heads: int, taps: int, **settings: object) -> Lightweight1d:
    generator = torch.Generator().manual_seed(heads + 100 * taps)
    return Lightweight1d(operator, heads, taps, generator=generator, **settings)  # type: ignore[arg-type]


# T = 4, B = 1, C = 2, H = 1, K = 3; rows are channels.
X = [[0.5, -1, 2, 0.25], [1.5, 0, -0.5, -2]]
G = [[1, -1, 0.5, 2], [0, 1, -2, 0.5]]
W = [[0.2, 0.5, 0.3]]
WORKED = {
    "same": (
        [[-1.5, -3.5, -2.75, -2.35], [-1.5, -2.6, -3.5, -3.5]],
        [[0.3, 0.5, -1.5, 0.525], [-1.0, 0.1, -0.85, -1.5]],
        [3.85, 2.0, 0.025],
        [0.307401, 0.159689, 0.001996],
    ),
    "causal": (
        [[-0.9, -1.5, -3.5, -2.75], [-1.9, -1.5, -2.6, -3.5]],
        [[-0.35, 1.5, -2.5, 0.1], [1.0, -0.6, -1.1, 0.5]],
        [-5.15, 3.25, 2.4],
        [-0.272551, 0.171998, 0.127014],
    ),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("padding", ["same", "causal"])
def test_worked_example(padding: SequencePadding, dtype: torch.dtype) -> None:
    def sequences(rows: list[list[float]]) -> Tensor:
        return torch.tensor(rows, dtype=dtype).t().unsqueeze(1)

    y, dx, dw, scaled_dw = WORKED[padding]
    w = torch.tensor(W, dtype=dtype)
    results = computed(sequences(X), w, sequences(G), Add(), padding)
    torch.testing.assert_close(results, Results(sequences(y), sequences(dx), torch.tensor([dw], dtype=dtype)))
    scaled = computed(sequences(X), w, sequences(G), Add(eta=0.2), padding)
    torch.testing.assert_close(scaled.dw, torch.tensor([scaled_dw], dtype=dtype), atol=5e-7, rtol=0)
    assert torch.equal(scaled.dx, results.dx)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
@pytest.mark.parametrize("heads", [1, 2, 4, 8])
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 7, 12])
@pytest.mark.parametrize("padding", ["same", "causal", "valid"])
def test_output_and_gradients_follow_the_formulas(
    operator: KernelOperator, heads: int, taps: int, padding: SequencePadding
) -> None:
    for length in (12,) if padding == "valid" else (5, 12):
        x, w = random(length, 2, 8, seed=taps), random(heads, taps, seed=heads)
        g = random(length - taps + 1 if padding == "valid" else length, 2, 8, seed=1)
        expected = loops(x, w, g, operator.name, zeros_before(padding, taps))
        for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
            for value, by_formula in zip(
                computed(x.to(dtype), w.to(dtype), g.to(dtype), operator, padding), expected, strict=True
            ):
                assert value.shape == by_formula.shape
                assert (value - by_formula).abs().max() <= tolerance * by_formula.abs().max().clamp_min(1)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
@pytest.mark.parametrize("padding", ["same", "causal"])
def test_long_sequences_have_the_same_gradients(operator: KernelOperator, padding: SequencePadding) -> None:
    x, w, g = random(300, 1, 4), random(2, 31, seed=1).softmax(1), random(300, 1, 4, seed=2)
    expected = loops(x, w, g, operator.name, zeros_before(padding, 31))
    for value, by_formula in zip(computed(x, w, g, operator, padding), expected, strict=True):
        assert (value - by_formula).abs().max() <= 1e-5 * by_formula.abs().max()


def test_the_gradient_is_rescaled_before_it_meets_the_softmax() -> None:
    net = layer(Add(eta=0.2), 2, 5).double()
    x, g = random(9, 3, 4, dtype=torch.float64), random(9, 3, 4, seed=1, dtype=torch.float64)
    torch.autograd.backward(net(x), g)
    logits = net.weight.detach()
    kernel = logits.exp() / logits.exp().sum(1, keepdim=True)
    dw = loops(x, kernel, g, "add", 2).dw
    dw *= 0.2 * math.sqrt(10) / torch.linalg.vector_norm(dw)
    torch.testing.assert_close(net.weight.grad, kernel * (dw - (kernel * dw).sum(1, keepdim=True)))


@pytest.mark.parametrize("eta", [None, 0.2])
def test_a_zero_gradient_stays_zero(eta: float | None) -> None:
    dw = computed(random(4, 1, 2), random(1, 3), torch.zeros(4, 1, 2), Add(eta=eta), "same").dw
    assert not dw.any()


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
@pytest.mark.parametrize("padding", ["same", "causal"])
def test_a_sentence_does_not_depend_on_its_batch(operator: KernelOperator, padding: SequencePadding) -> None:
    net = layer(operator, 2, 7, padding=padding)
    sentence = random(5, 1, 4)
    padded = torch.cat((torch.zeros(6, 1, 4), sentence, torch.zeros(3, 1, 4)))
    torch.testing.assert_close(net(padded)[6:11], net(sentence))


def test_the_initial_weight_is_xavier_uniform() -> None:
    weight = layer(Add(), 64, 32).weight
    bound = math.sqrt(6 / (64 + 32))
    assert weight.shape == (64, 32)
    assert 0.98 * bound < weight.abs().max() <= bound
    assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert torch.equal(weight, layer(Add(), 64, 32).weight)
    other = Lightweight1d(Add(), 64, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.equal(weight, other.weight)


@pytest.mark.parametrize("operator", [*OPERATORS, Shift()], ids=lambda operator: operator.name)
def test_evaluation_uses_the_softmax_of_the_weight(operator: KernelOperator) -> None:
    net = layer(operator, 2, 5, weight_dropout=0.5).eval()
    x = random(6, 2, 4)
    kernel = net.weight.exp() / net.weight.exp().sum(1, keepdim=True)
    torch.testing.assert_close(net(x), lightweight1d(x, kernel, operator))
    plain = layer(operator, 2, 5, softmax=False)
    assert torch.equal(plain(x), lightweight1d(x, plain.weight, operator))


def test_training_drops_taps_of_the_normalised_kernel() -> None:
    net = layer(Conv(), 100, 50, weight_dropout=0.25)
    softmax = net.weight.exp() / net.weight.exp().sum(1, keepdim=True)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        kernel, next_kernel = net.kernel(), net.kernel()
        torch.manual_seed(0)
        y = net(random(60, 1, 100))
    dropped = kernel == 0
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(kernel[~dropped], softmax[~dropped] / 0.75)
    assert not torch.equal(kernel, next_kernel)
    torch.testing.assert_close(y, lightweight1d(random(60, 1, 100), kernel, Conv()))


def decoded(net: Lightweight1d, x: Tensor, chunks: list[int]) -> Tensor:
    """The outputs of x, so many positions at a time."""
    assert sum(chunks) == len(x)
    outputs, state = [], None
    for chunk in torch.split(x, chunks):
        y, state = net.step(chunk, state)
        outputs.append(y)
        assert state.shape == (net.weight.shape[1] - 1, *x.shape[1:])
    return torch.cat(outputs)


@settings(deadline=None, max_examples=60)
@given(
    operator=st.sampled_from(OPERATORS),
    heads=st.sampled_from((1, 2, 4)),
    taps=st.integers(1, 9),
    chunks=st.lists(st.integers(1, 6), min_size=1, max_size=8),
    seed=st.integers(0, 99),
)
def test_steps_give_what_training_computes(
    operator: KernelOperator, heads: int, taps: int, chunks: list[int], seed: int
) -> None:
    net = layer(operator, heads, taps, padding="causal")
    x = random(sum(chunks), 3, 8, seed=seed)
    whole, stepped = net(x), decoded(net, x, chunks)
    torch.testing.assert_close(stepped, whole)
    if operator.name == "add" and adder_backend() == "native":
        assert torch.equal(stepped, whole)


def test_steps_learn_what_training_learns() -> None:
    net = layer(Add(), 2, 4, padding="causal").double()
    x = random(7, 2, 4, dtype=torch.float64).requires_grad_()
    gradients = [
        torch.autograd.grad(y, (x, net.weight), random(7, 2, 4, seed=1, dtype=torch.float64))
        for y in (net(x), decoded(net, x, [1, 4, 2]))
    ]
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_beams_are_reordered_by_their_states(operator: KernelOperator) -> None:
    net = layer(operator, 2, 5, padding="causal")
    x = random(7, 3, 4)
    state = None
    for position in torch.split(x, 1):
        _, state = net.step(position, state)
    assert state is not None
    order = torch.tensor([2, 0, 0, 1])
    ahead = random(3, 4, 4, seed=1)
    y, state = net.step(ahead[:2], state.index_select(1, order))
    torch.testing.assert_close(y, net(torch.cat((x[:, order], ahead[:2])))[7:])
    y, _ = net.step(ahead[2:], state.index_select(1, order))
    torch.testing.assert_close(y, net(torch.cat((x[:, order[order]], ahead[:2, order], ahead[2:])))[9:])


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_the_number_of_channels_is_free(operator: KernelOperator) -> None:
    net = layer(operator, 2, 3)
    for channels in (2, 6, 16):
        assert net(random(5, 2, channels)).shape == (5, 2, channels)


def test_state_and_copies() -> None:
    net = layer(Add(eta=0.2), 2, 5, padding="causal", weight_dropout=0.1).eval()
    other = Lightweight1d(Add(eta=0.2), 2, 5, padding="causal").eval()
    assert list(net.state_dict()) == ["weight"]
    other.load_state_dict(net.state_dict())
    x = random(6, 2, 4)
    assert torch.equal(other(x), net(x))
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x), net(x))
    with torch.no_grad():
        twin.weight.zero_()
    assert not torch.equal(twin(x), net(x))
    assert repr(net) == (
        "Lightweight1d(Add(eta=0.2, input_gradient='exact'), 2, 5, padding=causal, softmax=True, weight_dropout=0.1)"
    )


@pytest.mark.parametrize("operator", [Conv(), Add(eta=0.2)], ids=lambda operator: operator.name)
def test_half_precision_keeps_its_type(operator: KernelOperator) -> None:
    net = layer(operator, 2, 5, padding="causal")
    x, g = random(6, 2, 4).bfloat16(), random(6, 2, 4, seed=1)
    with torch.no_grad():
        expected = net(x.float())
    for mixed in (True, False):
        leaf = x.clone().requires_grad_()
        net = copy.deepcopy(net) if mixed else copy.deepcopy(net).bfloat16()
        net.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            y, (stepped, state) = net(leaf), net.step(x)
        torch.autograd.backward(y, g.bfloat16())
        assert y.dtype == stepped.dtype == state.dtype == torch.bfloat16
        torch.testing.assert_close(y.float(), expected, atol=0.02, rtol=0.02)
        assert leaf.grad is not None
        assert leaf.grad.dtype == torch.bfloat16
        assert net.weight.grad is not None
        assert net.weight.grad.dtype == net.weight.dtype
        assert net.weight.grad.any()


@pytest.mark.parametrize(
    ("operator", "backend"),
    [
        (Conv(), "aot_eager"),
        (Add(eta=0.2), "aot_eager"),
        pytest.param(Add(eta=0.2), "inductor", marks=pytest.mark.slow),
    ],
)
def test_compiled_layers_compute_the_same_in_one_graph(operator: KernelOperator, backend: str) -> None:
    torch.compiler.reset()
    net = layer(operator, 2, 5, padding="causal")
    x, g = random(6, 2, 4).requires_grad_(), random(6, 2, 4, seed=1)
    function = torch.compile(net, fullgraph=True, backend=backend)
    (y, *gradients), (y_compiled, *gradients_compiled) = (
        (y.detach(), *torch.autograd.grad(y, (x, net.weight), g)) for y in (net(x), function(x))
    )
    torch.testing.assert_close(y_compiled, y)
    torch.testing.assert_close(gradients_compiled, gradients)
    step = torch.compile(net.step, fullgraph=True, backend=backend)
    with torch.no_grad():
        first, state = step(x[:3])
        second, state = step(x[3:4], state)
        third, _ = step(x[4:], state)
    torch.testing.assert_close(torch.cat((first, second, third)), y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_heads": 0}, "num_heads=0 is out of range"),
        ({"kernel_size": 0}, "kernel_size=0 is out of range"),
        ({"padding": "valid"}, "padding=valid is unknown to a lightweight layer; it is same or causal"),
        ({"weight_dropout": 1.0}, "weight_dropout=1.0 is no probability"),
        ({"operator": Shift("ps")}, "needs 2 tensors for a kernel"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Lightweight1d(**{"operator": Add(), "num_heads": 2, "kernel_size": 3} | settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_misfits_are_named(operator: KernelOperator) -> None:
    x, kernel = random(4, 2, 6), random(2, 5)
    for arguments, message in (
        ((random(4, 6), kernel), "an input of shape (4, 6) with kernels of shape (2, 5) is no batch of sequences"),
        ((x, random(2, 1, 5)), "with kernels of shape (2, 1, 5)"),
        ((x, random(4, 5)), "num_heads=4 does not divide 6 channels"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            lightweight1d(*arguments, operator)
    with pytest.raises(UserError, match="a sequence of length 4 is too short for 5 taps, padding=valid; it needs 5"):
        lightweight1d(x, kernel, operator, padding="valid")
    with pytest.raises(UserError, match="padding=full is unknown; it is one of same, causal, valid"):
        lightweight1d(x, kernel, operator, padding="full")  # type: ignore[arg-type]


def test_steps_refuse_what_is_not_their_state() -> None:
    x = random(1, 2, 6)
    with pytest.raises(UserError, match="padding=same reads later positions; steps need padding=causal"):
        layer(Add(), 2, 5).step(x)
    net = layer(Add(), 2, 5, padding="causal")
    for shape in ((3, 2, 6), (4, 3, 6), (4, 2, 4)):
        with pytest.raises(UserError, match=re.escape(f"a state of shape {shape} does not fit")):
            net.step(x, torch.zeros(shape))

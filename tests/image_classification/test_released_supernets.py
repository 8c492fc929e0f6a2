"""The released supernets as experiments: their sizes and counts, and what the released behaviour computes.

The counts are those of the released code's logs and modules (method.md, "The released supernets").
"""

from typing import Any

import numpy as np
import pytest
import torch

from composed import built, compose
from shiftaddnas.cli.app import plain_config
from shiftaddnas.cli.build import build
from shiftaddnas.ops import Add, Conv, Shift
from shiftaddnas.sharing import Released
from shiftaddnas.testing.supernet import check_supernet
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import Entry, ImageWorkload
from tasks.image_classification.space import Step
from tasks.image_classification.supernet import HybridSupernet, kernel_operators

WORKLOAD = ImageWorkload(224, 3, 100)
# experiment: parameters of the whole supernet, which the logs give, and of what archs can reach, in millions
TOTALS = {
    "supernet_v1": (615_390_116, 136.8),
    "supernet_v2": (615_390_116, 136.8),
    "supernet_v3": (489_823_652, 123.8),
    "supernet_v4": (238_675_876, 97.9),
    "supernet_v5_q": (238_503_844, 97.9),
    "supernet_v5_ps": (364_242_340, 110.9),
}


def supernet(experiment: str, *overrides: str) -> HybridSupernet:
    """On the meta device: shapes without memory."""
    config = plain_config(compose("train", f"experiment=vision/{experiment}", *overrides))
    with torch.device("meta"):
        return HybridSupernet(build(config["space"], "space"), WORKLOAD, build(config["sharing"], "sharing"))


def num_params(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("experiment", TOTALS)
def test_the_released_supernets_have_their_recorded_sizes(experiment: str) -> None:
    assert num_params(supernet(experiment)) == TOTALS[experiment][0]


@pytest.mark.parametrize("experiment", TOTALS)
def test_what_archs_reach_is_a_fraction(experiment: str) -> None:
    reachable = num_params(supernet(experiment, "space.build=reachable"))
    assert reachable / 1e6 == pytest.approx(TOTALS[experiment][1], abs=0.05)


@pytest.mark.parametrize("experiment", TOTALS)
def test_searching_a_released_supernet_composes_too(experiment: str) -> None:
    assert compose("search", f"experiment=vision/{experiment}").space.build == "all"


def test_parts_of_the_released_supernets() -> None:
    fabric = supernet("supernet_v1").fabric
    assert num_params(fabric.entry) + num_params(fabric.idle_entries) == 37_120
    assert num_params(fabric.stem) + num_params(fabric.head) == 112_036
    assert len(fabric.layers) == 16
    operators = [sorted(slot.blocks) for slot in fabric.slots()]
    three, four = ["add", "conv", "shift"], ["add", "attention", "conv", "shift"]
    assert operators == [three, three, four, four] * 16


def test_idle_operators_cannot_be_chosen() -> None:
    space: HybridSpace = built("space", "space=hytra_released")
    assert space.size() == 198_955_008
    assert not any(
        step.level == 3 and step.operator in ("add", "shift") for steps in space.reachable() for step in steps
    )


def test_all_depth_vectors() -> None:
    assert built("space", "space=hytra_all_depths").size() == 335_499_264


@pytest.mark.parametrize(
    ("form", "sharing"),
    [
        ("q", Released()),
        ("ps", Released(detach_shift=True)),
        ("ps", Released(detach_shift=True, signs="own")),
        ("ps", Released(operators=("conv", "add"), min_slopes=6)),
    ],
    ids=str,
)
def test_released_behaviour_trains_and_is_extracted(form: str, sharing: Released) -> None:
    space: HybridSpace = built(
        "space",
        "space=digits",
        f"space.shift_form={form}",
        "+space.peg_bias=[attention,conv]",
        "+space.build=all",
        "+space.operators={attention_product: released, add_eta: 0.2, add_input_gradient: truncated}",
        f"+space.operators.shift_grad_bits={16 if form == 'ps' else 'null'}",
    )
    torch.manual_seed(0)
    net = HybridSupernet(space, ImageWorkload(8, 1, 10), sharing)
    for module in net.modules():  # the last normalisation of a block starts at 0, which would hide the block
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(4)]
    check_supernet(net, archs, torch.randn(16, 1, 8, 8), ImageWorkload(8, 1, 10))
    adding = space.arch({"depths": (2, 2, 2)} | {f"layer_{layer}": "add" for layer in range(6)})
    penalty = net.regularizer(adding)
    torch.autograd.backward(net(torch.randn(4, 1, 8, 8), adding).sum() + penalty)
    assert penalty.item() > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_settings_reach_the_operators() -> None:
    space: HybridSpace = built("space", "space=hytra_released", "space.operators.shift_sign_threshold=0.3")
    operators = kernel_operators(space.operators, space.shapes)
    assert operators["conv"] == Conv()
    assert operators["add"] == Add(0.2, "truncated")
    assert operators["shift"] == Shift("ps", sign_threshold=0.3, act_fraction_bits=16, grad_bits=16)


def test_the_truncated_gradient_reaches_a_quarter_of_the_inputs() -> None:
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    w = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    torch.autograd.backward(Add(input_gradient="truncated").convolve(x, (w,), stride=2, padding=1).sum())
    assert x.grad is not None
    assert (x.grad != 0).float().mean().item() == 0.25


def test_released_attention_sums_over_queries() -> None:
    from tasks.image_classification.blocks import attention

    torch.manual_seed(1)
    qkv = torch.randn(1, 3 * 8, 2, 3, dtype=torch.float64)
    out = attention(qkv, 4, "released")
    q, k, v = (part.reshape(2, 4, 6) for part in qkv[0].chunk(3))
    for head in range(2):
        scores = torch.einsum("di,dj->ij", q[head], k[head]) / 2.0
        expected = torch.einsum("ij,di->dj", scores.softmax(-1), v[head])
        torch.testing.assert_close(out[0].view(2, 4, 6)[head], expected)


def not_none(divergence: torch.Tensor | None) -> torch.Tensor:
    assert divergence is not None
    return divergence


def test_the_released_divergence_is_what_the_logs_show(hytra_space: HybridSpace) -> None:
    """10 KL of random archs at the start: 0.077 by Monte Carlo, and 0.075 between the logs of v3 and v1."""
    torch.manual_seed(0)
    sharing = Released(operators=("conv", "add"))
    terms: dict[tuple[int, Entry], float] = {}
    places: tuple[tuple[int, Entry], ...] = (
        (0, "first"),
        (0, "same"),
        (1, "same"),
        (1, "down"),
        (2, "same"),
        (2, "down"),
    )
    for level, entry in places:
        shapes = hytra_space.shapes.kernels(level, frozenset([entry]))
        draws = 40 if level == 0 else 4
        kernels = [sharing.slot({"add": Add()}, shapes) for _ in range(draws)]
        sums = [[not_none(slot.divergence("add", kernel)) for kernel in shapes] for slot in kernels]
        terms[level, entry] = float(np.mean([sharing.penalty(row).item() for row in sums]))
    rng = np.random.default_rng(0)
    num_archs = 2000
    steps: list[Any] = [step for arch in hytra_space.sample_many(num_archs, rng) for step in hytra_space.steps(arch)]
    adds: list[Step] = [step for step in steps if step.operator == "add"]
    mean = sum(terms[step.level, step.entry] for step in adds) / num_archs
    assert mean == pytest.approx(0.077, rel=0.1)

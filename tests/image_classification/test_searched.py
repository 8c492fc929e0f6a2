"""The searched networks against the counts that the official code gives (parameters, operations, tensor names)."""

import argparse
import csv
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops import AdderConv2d, ShiftConv2d
from tasks.image_classification.released_checkpoint import converted, load_released_checkpoint
from tasks.image_classification.searched import NAMES, Attention, SearchedNet, stages_of

SPEC = os.environ.get("SHIFTADDNAS_SPEC")
SMALL: Any = [["conv"], ["shift", "add"], ["attention"], ["conv"]]


@pytest.mark.parametrize(
    ("name", "num_params"),
    [
        ("t0_v3", 29_369_160),
        ("t0_v3_q", 27_859_528),
        ("t0_v3_distilled", 31_418_160),
        ("t0_v3_q_distilled", 29_908_528),
        ("t1_v3_distilled", 31_418_160),
        ("t0_v4_q_distilled", 29_909_040),
        ("t1_v4_q_distilled", 29_909_040),
    ],
)
def test_parameters_are_the_released_networks(name: str, num_params: int) -> None:
    with torch.device("meta"):
        network = timm.create_model(f"shiftaddnas_{name}")
    assert sum(parameter.numel() for parameter in network.parameters()) == num_params


def test_parameters_of_each_block() -> None:
    with torch.device("meta"):
        network = timm.create_model("shiftaddnas_t0_v4_q_distilled")
    counts = [
        [sum(parameter.numel() for parameter in block.parameters()) for block in stage] for stage in network.stages
    ]
    assert counts == [
        [84_112, 79_504],
        [413_984, 314_656, 314_656, 314_656],
        [1_647_168, 1_251_904, 726_528, 1_251_904, 1_251_904],
        [4_471_808, 2_894_848, 4_994_176, 2_894_848, 2_894_848],
    ]


def released_flops(network: nn.Module, size: int) -> Counter[str]:
    """Operations by arithmetic as the official counter has them, from the shapes that modules see on an image."""
    flops: Counter[str] = Counter()

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        positions = math.prod(output.shape[2:])
        match module:
            case AdderConv2d():  # a bias is counted whether there is one or not
                flops["add"] += (2 * module.weight.numel() + output.shape[1]) * positions
            case ShiftConv2d():
                bias = 0 if module.bias is None else output.shape[1]
                kernel = next(module.parameters()).numel()
                flops["shift"] += (2 * kernel + bias) * positions
            case nn.Conv2d():
                bias = 0 if module.bias is None else output.shape[1]
                flops["mult"] += (2 * module.weight.numel() + bias) * positions
            case nn.Linear():
                flops["mult"] += 2 * module.weight.numel() + output.shape[1]
            case Attention():
                flops["mult"] += 2 * 2 * positions**2 * output.shape[1]
            case nn.BatchNorm2d():
                flops["mult"] += 2 * output.numel()
            case nn.ReLU():
                flops["mult"] += output.numel()
            case nn.MaxPool2d() | nn.AvgPool2d():
                side = module.kernel_size if isinstance(module.kernel_size, int) else module.kernel_size[0]
                flops["mult"] += side**2 * output.numel()

    with torch.device("meta"):
        hooks = [module.register_forward_hook(count) for module in network.modules()]
        network.eval()(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return flops


@pytest.mark.parametrize(
    ("name", "mult", "add", "shift"),
    [
        ("t0_v3_distilled", 5_896_215_568, 875_972_608, 745_966_592),
        ("t0_v3_q_distilled", 5_896_215_568, 875_972_608, 745_966_592),
        ("t1_v3_distilled", 11_212_889_616, 875_972_608, 745_966_592),
        ("t0_v4_q_distilled", 5_457_576_976, 0, 2_059_975_680),
        ("t1_v4_q_distilled", 10_774_251_024, 0, 2_059_975_680),
    ],
)
def test_operations_are_the_released_networks(name: str, mult: int, add: int, shift: int) -> None:
    with torch.device("meta"):
        network = timm.create_model(f"shiftaddnas_{name}")
    assert released_flops(network, 224) == Counter(mult=mult, add=add, shift=shift)


def test_every_variant_is_registered_with_timm() -> None:
    assert len(NAMES) == 16
    assert set(NAMES) <= set(timm.list_models("shiftaddnas_*"))


def test_it_is_a_model_as_timm_has_them() -> None:
    network = timm.create_model("shiftaddnas_t0_v4_q_distilled", num_classes=10, in_chans=1, drop_path_rate=0.1)
    images = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    logits, distilled = network(images)
    assert logits.shape == distilled.shape == (2, 10)
    (logits.sum() + distilled.sum()).backward()
    network.eval()
    with torch.no_grad():
        pooled = network.forward_features(images).mean((2, 3))
        expected = (network.head(pooled) + network.head_distilled(pooled)) / 2
        torch.testing.assert_close(network(images), expected)
    network.reset_classifier(3)
    assert network(images).shape == (2, 3)
    with pytest.raises(UserError, match="has no weights to download"):
        timm.create_model("shiftaddnas_t0_v4", pretrained=True)


@pytest.mark.parametrize("product", ["released", "standard"])
def test_attention_follows_its_formula(product: Any) -> None:
    torch.manual_seed(0)
    attention = Attention(128, product).double()
    x = torch.randn(2, 128, 3, 4, dtype=torch.float64)
    q, k, v = attention.qkv(x).reshape(2, 3, 2, 64, 12).unbind(1)
    weights = torch.einsum("bhdi,bhdj->bhij", q / 8, k).softmax(-1)
    equation = "bhdi,bhij->bhdj" if product == "released" else "bhdj,bhij->bhdi"
    expected = torch.einsum(equation, v, weights).reshape(2, 128, 3, 4)
    torch.testing.assert_close(attention(x), expected)


def test_the_last_stage_of_t1_keeps_the_map() -> None:
    images = torch.randn(1, 3, 64, 64)
    for last_stride, size in ((2, 2), (1, 4)):
        network = SearchedNet(SMALL, last_stride=last_stride).eval()  # type: ignore[arg-type]
        assert network.forward_features(images).shape == (1, 2048, size, size)


def test_a_block_adds_its_shortcut() -> None:
    # The last normalisation starts at 0, so a fresh block is the activation of its shortcut alone.
    network = SearchedNet(SMALL).eval()
    x = network.stem(torch.randn(1, 3, 64, 64))
    block = network.stages[0][0]
    torch.testing.assert_close(block(x), F.silu(block.shortcut(x)))


def test_the_released_notation_is_read() -> None:
    assert stages_of([[1], [3, 2], [0], [1]]) == SMALL
    with pytest.raises(UserError, match="4 stands for no operator; there are 0 attention, 1 conv, 2 add, 3 shift"):
        stages_of([[4]])


def test_an_add_block_at_the_beginning_of_a_stage_projects_with_an_adder() -> None:
    network = SearchedNet([["conv"], ["add"], ["conv"], ["conv"]])
    projection = network.stages[1][0].shortcut[1]
    assert isinstance(projection, AdderConv2d)
    assert projection.weight.shape == (512, 256, 1, 1)
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 1000)


RELEASED = {
    "conv1.weight": "stem.0.weight",
    "bn1.running_mean": "stem.1.running_mean",
    "layer1.0.downsample.1.weight": "stages.0.0.shortcut.1.weight",
    "layer1.0.peg.conv.bias": "stages.0.0.peg.bias",
    "layer1.0.conv2.weight": "stages.0.0.mix.weight",
    "layer2.0.conv1.shift": "stages.1.0.conv1.shift",
    "layer2.0.peg.conv.sign": "stages.1.0.peg.sign",
    "layer2.1.conv2.adder": "stages.1.1.mix.weight",
    "layer2.1.se.fc1.bias": "stages.1.1.se.fc1.bias",
    "layer3.0.shortcut.2.bias": "stages.2.0.shortcut.2.bias",
    "layer3.0.proj.0.weight": "stages.2.0.conv1.weight",
    "layer3.0.proj.1.conv.weight": "stages.2.0.peg.weight",
    "layer3.0.proj.2.weight": "stages.2.0.bn1.weight",
    "layer3.0.net.1.to_qkv.weight": "stages.2.0.mix.qkv.weight",
    "layer3.0.net.2.bias": "stages.2.0.bn2.bias",
    "layer3.0.net.4.weight": "stages.2.0.conv3.weight",
    "layer3.0.net.5.running_var": "stages.2.0.bn3.running_var",
    "fc.bias": "head.bias",
    "dist_head.weight": "head_distilled.weight",
}


def test_released_names_become_ours() -> None:
    tensors = {key: torch.tensor(float(number)) for number, key in enumerate(RELEASED)}
    state = converted(tensors)
    assert state == {name: tensors[key] for key, name in RELEASED.items()}
    assert set(state) <= set(SearchedNet(SMALL, distilled=True).state_dict())


@pytest.mark.skipif(SPEC is None, reason="SHIFTADDNAS_SPEC names no folder with released_state_dicts.csv")
@pytest.mark.parametrize("name", ["t0_v3_distilled", "t0_v4_q_distilled", "t1_v3_q_distilled"])
def test_released_files_have_just_the_tensors_of_our_networks(name: str) -> None:
    released = {
        "t0_v3_distilled": "bossnet_T0_mix_v3_distilled",
        "t0_v4_q_distilled": "bossnet_T0_mix_v4_distilled_Q",
        "t1_v3_q_distilled": "bossnet_T1_mix_v3_distilled_Q",
    }[name]
    with torch.device("meta"):
        expected = {
            key: tuple(tensor.shape) for key, tensor in timm.create_model(f"shiftaddnas_{name}").state_dict().items()
        }
    with (Path(str(SPEC)) / "released_state_dicts.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == released]
    shapes = {row["key"]: tuple(int(size) for size in row["shape"].split("x") if size) for row in rows}
    state = converted({key: torch.empty(shape, device="meta") for key, shape in shapes.items()})
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == expected


def released_file(path: Path, network: SearchedNet) -> dict[str, Tensor]:
    """A file as the authors' training writes them, with random tensors of a network."""
    ours = {name: key for key, name in RELEASED.items()}
    generator = torch.Generator().manual_seed(1)
    state: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        random = torch.rand(tensor.shape, generator=generator)
        state[name] = random if tensor.is_floating_point() else torch.zeros_like(tensor)
    names = {name: ours.get(name, name) for name in state}
    content = {
        "model": {names[name]: tensor for name, tensor in state.items()},
        "args": argparse.Namespace(lr=0.001),
        "epoch": 299,
    }
    torch.save(content, path)
    return state


def test_a_released_file_is_loaded(tmp_path: Path) -> None:
    network = SearchedNet(SMALL, distilled=True)
    state = released_file(tmp_path / "released.pth", network)
    load_released_checkpoint(network, tmp_path / "released.pth")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), name


class Harmful:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


def test_files_that_are_not_of_the_network_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = SearchedNet(SMALL)
    path = tmp_path / "released.pth"
    with pytest.raises(UserError, match="there is no file"):
        load_released_checkpoint(network, path)
    released_file(path, SearchedNet(SMALL, distilled=True))
    with pytest.raises(UserError, match=r"2 unknown \(head_distilled\.bias, head_distilled\.weight\)"):
        load_released_checkpoint(network, path)
    with pytest.raises(UserError, match="has no model_ema: it holds model, args, epoch"):
        load_released_checkpoint(network, path, ema=True)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="is truncated or no weight file"):
        load_released_checkpoint(network, path)
    for content in (b"", b"no weights"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"released\.pth") as caught:
            load_released_checkpoint(network, path)
        assert "\n" not in str(caught.value)
    torch.save({"model": Harmful()}, path)
    with pytest.raises(UserError, match="was not loaded"):
        load_released_checkpoint(network, path)
    assert "executed" not in capsys.readouterr().out

"""fairseq's tools train and decode hybrid transformers of files; what they write is what the framework computes."""

import argparse
import importlib
import json
import math
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from catalogue_text import write_parts
from tiny_transformers import batch, dictionary
from torch import Tensor
from toy_translation import NO_DROPOUT, SPACE

from composed import built, compose
from shiftaddnas.cli.app import plain_config
from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, write_arch
from tasks.translation.arch_yaml import read_arch_yaml
from tasks.translation.config import TransformerConfig
from tasks.translation.data import ParallelText, Preparation
from tasks.translation.data.binarized import Binarized
from tasks.translation.fairseq_adapter import Dictionary, load_checkpoint
from tasks.translation.fairseq_plugin import USER_DIR
from tasks.translation.fairseq_plugin.arguments import add_arguments
from tasks.translation.fairseq_plugin.convert import fairseq_checkpoint, main
from tasks.translation.fairseq_plugin.files import read_network
from tasks.translation.fairseq_plugin.model import RegisteredTransformer, read_files
from tasks.translation.fairseq_plugin.network import network_of
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.transformer import HybridTransformer
from tasks.translation.space import TranslationSpace
from tasks.translation.standalone import standalone_network

ROOT = Path(__file__).parents[2]
SPACES = [*sorted(file.stem for file in (ROOT / "conf" / "space").glob("transformer_*.yaml")), "gettext"]
ARCH = """
encoder-embed-dim-subtransformer: 96
decoder-embed-dim-subtransformer: 128
encoder-layer-num-subtransformer: 3
encoder-ffn-embed-dim-all-subtransformer: [256, 512, 256]
encoder-self-attention-heads-all-subtransformer: [4, 2, 4]
encoder-block-types-all-subtransformer: [self_attention+lightweight_add, lightweight_shiftadd, self_attention]
decoder-layer-num-subtransformer: 2
decoder-ffn-embed-dim-all-subtransformer: [512, 256]
decoder-self-attention-heads-all-subtransformer: [4, 2]
decoder-block-types-all-subtransformer: [self_attention+lightweight_conv, self_attention+lightweight_shiftadd]
decoder-ende-attention-heads-all-subtransformer: [4, 2]
decoder-arbitrary-ende-attn-all-subtransformer: [2, -1]
"""
"""A network of the space gettext."""


def config_of(found: dict[str, Any]) -> TransformerConfig:
    config = read_arch_yaml(found["network"])
    assert config is not None
    return config


def arguments(*given: str) -> argparse.Namespace:
    """As fairseq has them after its command line was read."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(given)
    read_files(args)
    return args


def task(source: Dictionary, target: Dictionary) -> Any:
    return SimpleNamespace(source_dictionary=source, target_dictionary=target)


def test_a_shipped_network_of_the_paper() -> None:
    found = read_network("wmt_en_de/v3_350ms_jul13", "transformer_v3")
    config = config_of(found)
    assert (config.encoder_embed_dim, config.decoder_embed_dim, config.num_bits) == (512, 768, 32)
    assert [layer.ffn_dim for layer in config.encoder] == [3072, 3072, 2048, 3072, 4096, 4096]
    assert [layer.cross_span for layer in config.decoder] == [2, -1, 2, 2, 2]
    assert found["super_shape"] == {
        "encoder_embed_dim": 1024,
        "decoder_embed_dim": 1024,
        "encoder_ffn_dim": 4096,
        "decoder_ffn_dim": 4096,
        "encoder_heads": 16,
        "decoder_heads": 16,
        "encoder_layers": 6,
        "decoder_layers": 6,
        "qkv_dim": 512,
        "kernel_sizes": (3, 7, 15, 31, 31, 31),
    }


@pytest.mark.parametrize("name", SPACES)
def test_spaces_are_as_hydra_composes_them(name: str, tmp_path: Path) -> None:
    space: TranslationSpace = built("space", f"space={name}")
    arch = space.sample(np.random.default_rng(1))
    write_arch(arch, tmp_path / "arch.yaml")
    found = read_network(str(tmp_path / "arch.yaml"), name)
    assert config_of(found) == space.config(arch)
    assert found["super_shape"] == asdict(space.shape)


def test_the_files_of_a_run(tmp_path: Path) -> None:
    settings = plain_config(compose("search", "task=gettext_en_de", "space.shape.qkv_dim=64", "space.num_bits=[8]"))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "arch.yaml").write_text(ARCH)
    found = read_network(str(tmp_path / "arch.yaml"), str(tmp_path / "config.yaml"))
    assert found["super_shape"]["qkv_dim"] == 64
    assert config_of(found).num_bits == 8  # as the space has it, where the network names none
    assert replace(config_of(found), num_bits=32) == read_arch_yaml(ARCH)


@pytest.mark.parametrize(("line", "num_bits"), [("num_bits: 6", 6), ("num_bits: -1", 32), ("", 32)])
def test_the_network_says_its_bits(line: str, num_bits: int, tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text(ARCH + line)
    assert config_of(read_network(str(tmp_path / "arch.yaml"), "gettext")).num_bits == num_bits


def test_a_space_of_ones_own_builds_on_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text(ARCH)
    (tmp_path / "narrow.yaml").write_text("defaults: [gettext, _self_]\nshape: {qkv_dim: 32}\n")
    (tmp_path / "wide.yaml").write_text("defaults: [narrow, _self_]\nshape: {encoder_heads: 8}\n")
    shape = read_network(str(tmp_path / "arch.yaml"), str(tmp_path / "wide.yaml"))["super_shape"]
    assert (shape["qkv_dim"], shape["encoder_heads"], shape["decoder_heads"]) == (32, 8, 4)


@pytest.mark.parametrize(
    ("arch", "space", "message"),
    [
        ("missing.yaml", "gettext", r"--arch-yaml missing\.yaml is neither a file nor shipped.*v3_350ms_jul13"),
        ("arch.yaml", "missing", r"--space missing is neither a file nor shipped.*transformer_v3"),
        ("arch.yaml", "transformer_v3", r"encoder_embed_dim=96 is not in space transformer_v3.*1024, 768, 512"),
        ("arch.yaml", "digits", r"--space digits: the space is none of transformers, its shape"),
        ("arch.yaml", "broken.yaml", r"--space .*broken\.yaml cannot be read"),
        ("arch.yaml", "orphan.yaml", r"its defaults list has nowhere, which is neither beside it nor shipped"),
        ("arch.yaml", "list.yaml", r"is a list, not the settings"),
        ("broken.yaml", "gettext", r"is not YAML"),
        ("short.yaml", "gettext", r"lacks encoder-layer-num-subtransformer"),
    ],
)
def test_wrong_files_are_told_in_one_line(
    arch: str, space: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("arch.yaml").write_text(ARCH)
    Path("short.yaml").write_text("encoder-embed-dim-subtransformer: 96\n")
    Path("broken.yaml").write_text("{not: yaml")
    Path("orphan.yaml").write_text("defaults: [nowhere]\n")
    Path("list.yaml").write_text("[1, 2]\n")
    with pytest.raises(UserError, match=message) as caught:
        read_network(arch, space)
    assert "\n" not in str(caught.value)


def test_the_registered_model_is_the_frameworks_network(tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text(ARCH)
    words = dictionary()
    args = arguments(
        "--arch-yaml", str(tmp_path / "arch.yaml"), "--space", "gettext", "--dropout", "0", "--attention-dropout", "0",
        "--weight-dropout", "0", "--add-eta", "0.2", "--grad-bits", "-1", "--positions", "truncated",
    )  # fmt: skip
    torch.manual_seed(0)
    network = RegisteredTransformer.build_model(args, task(words, dictionary()))
    space: TranslationSpace = built("space", "space=gettext")
    arch = space.read_notation(ARCH)
    assert arch is not None
    settings = replace(NO_DROPOUT, add_eta=0.2, grad_bits=None, positions="truncated")
    torch.manual_seed(0)
    expected = standalone_network(space, words, arch, settings)
    assert network.settings == settings
    assert network.sizes == expected.sizes
    logits = network(**batch())[0]
    assert torch.equal(logits, expected(**batch())[0])
    logits.logsumexp(-1).sum().backward()
    # Data parallel training waits for the gradient of each.
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


def test_the_defaults_are_the_frameworks(tmp_path: Path) -> None:
    args = arguments("--arch-yaml", "wmt_en_de/v3_100ms_update")
    assert args.super_shape["encoder_embed_dim"] == 1024
    (tmp_path / "arch.yaml").write_text(ARCH)
    args = arguments("--arch-yaml", str(tmp_path / "arch.yaml"), "--space", "gettext")
    assert network_of(args, dictionary()).settings == TransformerSettings()


def test_languages_need_one_dictionary(tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text(ARCH)
    args = arguments("--arch-yaml", str(tmp_path / "arch.yaml"), "--space", "gettext")
    with pytest.raises(UserError, match="--joined-dictionary"):
        RegisteredTransformer.build_model(args, task(dictionary(20), dictionary(21)))


def run_checkpoint(folder: Path, arch: Arch, network: HybridTransformer, settings: TransformerSettings) -> Path:
    """As a training of one network leaves it."""
    space = {
        "name": "toy", "shape": asdict(SPACE.shape), "encoder": asdict(SPACE.encoder), "decoder": asdict(SPACE.decoder)
    }  # fmt: skip
    config = {"space": space, "task": {"transformer": asdict(settings)}}
    state = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state, "config": config}, folder / "subnet.ckpt")
    write_arch(arch, folder / "arch.yaml")
    return folder / "subnet.ckpt"


def convert(monkeypatch: pytest.MonkeyPatch, *arguments: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["convert", *map(str, arguments)])
    main()


def test_a_runs_network_becomes_a_checkpoint_of_fairseqs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arch, words = SPACE.sample(np.random.default_rng(0)), dictionary()
    settings = TransformerSettings(dropout=0.2, add_eta=0.2, grad_bits=None)
    trained = standalone_network(SPACE, words, arch, settings).eval()
    checkpoint = run_checkpoint(tmp_path, arch, trained, settings)
    torch.save(fairseq_checkpoint(checkpoint), tmp_path / "network.pt")
    content = load_checkpoint(tmp_path / "network.pt")
    network = network_of(content["cfg"]["model"], words).eval()
    network.load_state_dict(content["model"])
    assert network.settings == settings
    assert torch.equal(network(**batch())[0], trained(**batch())[0])
    for run in (checkpoint, tmp_path):
        convert(monkeypatch, run, tmp_path / "new" / "network.pt")
        written = load_checkpoint(tmp_path / "new" / "network.pt")
        assert written["cfg"] == content["cfg"]
        assert all(torch.equal(written["model"][name], tensor) for name, tensor in content["model"].items())
    for run, output, message in (
        (tmp_path, tmp_path / "new", "new cannot be written: Is a directory; give the name of a file"),
        (tmp_path, tmp_path / "network.pt" / "x", "x cannot be written: "),
        (tmp_path / "new", tmp_path / "kept.pt", "new is not a run folder: it has no manifest.json"),
    ):
        with pytest.raises(SystemExit, match=rf"^error: [^\n]*{message}[^\n]*$"):
            convert(monkeypatch, run, output)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["network.pt"]
    assert not (tmp_path / "kept.pt").exists()
    (tmp_path / "arch.yaml").unlink()
    with pytest.raises(UserError, match=r"no arch\.yaml beside it"):
        fairseq_checkpoint(checkpoint)
    torch.save({"state_dict": {"supernet.weight": torch.ones(1)}, "config": {"space": {}}}, checkpoint)
    with pytest.raises(UserError, match="no single network"):
        fairseq_checkpoint(checkpoint)


def test_mistakes_are_told_without_a_traceback_and_bugs_with_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.syspath_prepend(USER_DIR.parent)
    hook: Callable[..., None] = importlib.import_module(USER_DIR.name)._in_one_line
    assert sys.excepthook is hook
    hook(UserError, UserError("space=x is unknown"), None)
    assert capsys.readouterr().err == "error: space=x is unknown\n"
    hook(KeyError, KeyError("x"), None)
    assert capsys.readouterr().err == "KeyError: 'x'\n"


def run_tools(folder: Path, *lines: list[str]) -> subprocess.CompletedProcess[str]:
    """Command lines of fairseq's tools one after the other, in one process that goes on while they end well."""
    code = (
        "import importlib, json, sys\n"
        "for sys.argv in json.loads(sys.argv[1]):\n"
        "    importlib.import_module(f'fairseq_cli.{sys.argv[0]}').cli_main()"
    )
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, json.dumps(lines)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"},
        timeout=200,
    )


def training(data: Path, output: str, max_update: int) -> list[str]:
    line = (
        f"train --user-dir {USER_DIR} --arch shiftaddnas_transformer --arch-yaml arch.yaml --space gettext --cpu "
        "--optimizer adam --lr 1e-3 --criterion label_smoothed_cross_entropy --label-smoothing 0.1 --max-tokens 256 "
        f"--max-update {max_update} --save-dir {output} --num-workers 0 --disable-validation"
    )
    return [*line.split(), str(data)]


def in_bits(network: HybridTransformer, source: Tensor, target: Tensor) -> list[float]:
    """The log probability of each token of a translation."""
    start = torch.tensor([network.dictionary.eos()])
    with torch.no_grad():
        logits = network(source[None], torch.tensor([len(source)]), torch.cat((start, target[:-1]))[None])[0][0]
    chosen = logits.log_softmax(-1).gather(1, target[:, None])[:, 0] / math.log(2)
    return [float(value) for value in chosen]


def test_the_folder_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_module("tasks.translation.fairseq_plugin", run_name="__main__")
    assert capsys.readouterr().out == f"{USER_DIR}\n"
    assert (USER_DIR / "__init__.py").is_file()
    assert [file for file in USER_DIR.parent.iterdir() if file.name != "__pycache__"] == [USER_DIR]


@pytest.mark.slow
def test_fairseq_trains_goes_on_and_translates_as_the_framework_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = write_parts(tmp_path / "text", 200)
    data: Binarized = ParallelText(
        text, "en", "de", valid="valid", test="test", output=tmp_path / "prepared",
        preparation=Preparation(num_subwords=300),
    ).binarized()  # fmt: skip
    (tmp_path / "arch.yaml").write_text(ARCH)
    done = run_tools(tmp_path, training(data.root, "whole", 4), training(data.root, "parts", 2))
    assert done.returncode == 0, done.stderr
    (tmp_path / "arch.yaml").rename(tmp_path / "elsewhere.yaml")  # the checkpoint has it
    generation = (
        f"generate --user-dir {USER_DIR} --path whole/checkpoint_last.pt --cpu --beam 4 --min-len 3 --max-len-b 8 "
        "--gen-subset test --max-tokens 256 --required-batch-size-multiple 1"
    )
    done = run_tools(tmp_path, [*generation.split(), str(data.root)])
    assert done.returncode == 0, done.stderr
    (tmp_path / "elsewhere.yaml").rename(tmp_path / "arch.yaml")
    resumed = run_tools(tmp_path, training(data.root, "parts", 4))
    assert resumed.returncode == 0, resumed.stderr
    whole, parts = (load_checkpoint(tmp_path / name / "checkpoint_last.pt") for name in ("whole", "parts"))
    assert parts["optimizer_history"][-1]["num_updates"] == 4
    for name, tensor in whole["model"].items():
        assert torch.equal(parts["model"][name], tensor), name

    space: TranslationSpace = built("space", "space=gettext")
    arch = space.read_notation(ARCH)
    assert arch is not None
    words = data.target_dictionary
    network = standalone_network(space, words, arch, TransformerSettings()).eval()
    network.load_state_dict(whole["model"])
    lines = {kind: dict(re.findall(rf"^{kind}-(\d+)\t(.*)$", done.stdout, re.MULTILINE)) for kind in "SHP"}
    assert len(lines["P"]) == len(data.dataset("test"))
    assert len(set(lines["H"].values())) > 1
    for number, printed in lines["P"].items():
        source, target = (
            words.encode_line(symbols, add_if_not_exist=False).long()
            for symbols in (lines["S"][number], lines["H"][number].split("\t")[1])
        )
        assert len(target) >= 4
        assert in_bits(network, source, target) == pytest.approx([float(one) for one in printed.split()], abs=1e-3)

    monkeypatch.chdir(tmp_path)  # where the guide's Python reads the checkpoint
    (tmp_path / "whole" / "checkpoint_last.pt").rename(tmp_path / "whole" / "checkpoint_best.pt")
    Path("checkpoints").symlink_to("whole")
    Path("data-bin").mkdir()
    Path("data-bin/wmt14_en_de").symlink_to(data.root)
    guide = (ROOT / "docs" / "fairseq.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    assert torch.equal(names["network"].eval()(**batch())[0], network(**batch())[0])


@pytest.mark.slow
def test_a_command_line_tells_a_mistake_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text(ARCH.replace("lightweight_shiftadd", "lightweight_sum"))
    done = run_tools(tmp_path, training(tmp_path, "unused", 1))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(
        "error: --arch-yaml arch.yaml --space gettext: encoder-block-types-all"
    )

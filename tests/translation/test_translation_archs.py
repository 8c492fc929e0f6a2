"""The files of the released ShiftAddNAS code, shipped ones among them, and how `arch=` finds them."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from released_networks import SHIPPED_NETWORKS, transformer

from composed import built
from shiftaddnas.cli.app import config_folder
from shiftaddnas.cli.archs import find_arch
from shiftaddnas.errors import UserError
from tasks.translation import TranslationSpace
from tasks.translation.arch_yaml import read_arch_yaml, write_arch_yaml
from tasks.translation.config import EncoderLayerConfig

JUL13 = SHIPPED_NETWORKS["wmt_en_de/v3_350ms_jul13"].config
BASELINES = {
    "wmt_en_de/transformer_base": transformer(512, 2048, 8),
    "wmt_en_de/transformer_big": transformer(1024, 4096, 16),
}
# As the released search writes it: block types one to a list, six of them for a decoder of two layers.
RELEASED_FILE = """
encoder-embed-dim-subtransformer: 512
decoder-embed-dim-subtransformer: 512
encoder-ffn-embed-dim-all-subtransformer: [2048, 1024, 3072, 1024, 1024, 4096]
decoder-ffn-embed-dim-all-subtransformer: [4096, 4096]
encoder-layer-num-subtransformer: 6
decoder-layer-num-subtransformer: 2
encoder-self-attention-heads-all-subtransformer: [4, 16, 8, 16, 8, 4]
decoder-self-attention-heads-all-subtransformer: [4, 16]
decoder-ende-attention-heads-all-subtransformer: [4, 4]
decoder-arbitrary-ende-attn-all-subtransformer: [2, 2, 2, -1, 1, 2]
encoder-block-types-all-subtransformer: [['self_attention+lightweight_conv'], ['self_attention'], ['self_attention+lightweight_conv'], ['self_attention+lightweight_conv'], ['self_attention'], ['self_attention']]
decoder-block-types-all-subtransformer: [['self_attention+lightweight_conv'], ['self_attention'], ['self_attention+lightweight_add'], ['self_attention'], ['self_attention'], ['self_attention']]
max-tokens: 4096
"""  # noqa: E501


@pytest.fixture(scope="module")
def v3() -> TranslationSpace:
    space: TranslationSpace = built("space", "space=transformer_v3")
    return space


@pytest.fixture(scope="module")
def en_fr() -> TranslationSpace:
    space: TranslationSpace = built("space", "space=transformer_en_fr")
    return space


def test_these_are_shipped() -> None:
    folder = config_folder() / "archs"
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("wmt_*/*.yaml")}
    assert files == {*SHIPPED_NETWORKS, *BASELINES}


@pytest.mark.parametrize("name", [*SHIPPED_NETWORKS, *BASELINES])
def test_a_shipped_arch_is_the_released_network(name: str, v3: TranslationSpace, en_fr: TranslationSpace) -> None:
    space = en_fr if name.startswith("wmt_en_fr") else v3
    expected = BASELINES.get(name) or SHIPPED_NETWORKS[name].config
    assert space.config(find_arch(name, space)) == expected
    text = (config_folder() / "archs" / f"{name}.yaml").read_text()
    assert text.partition("\n")[2] == write_arch_yaml(expected)


def test_a_file_as_the_released_search_writes_it(v3: TranslationSpace, tmp_path: Path) -> None:
    (tmp_path / "found.yml").write_text(RELEASED_FILE)
    arch = find_arch(str(tmp_path / "found.yml"), v3)
    assert arch == find_arch("wmt_en_de/v3_150ms_update", v3)


def test_decisions_by_name_are_read_too(v3: TranslationSpace, tmp_path: Path) -> None:
    arch = v3.arch_of(JUL13)
    (tmp_path / "arch.yaml").write_text(yaml.safe_dump(arch.to_json()))
    assert find_arch(str(tmp_path / "arch.yaml"), v3) == arch


def test_bits_and_shift_layers_are_written_and_read() -> None:
    decoder = tuple(replace(layer, ffn="shift") for layer in JUL13.decoder)
    config = replace(JUL13, decoder=decoder, num_bits=8)
    text = write_arch_yaml(config)
    assert read_arch_yaml(text) == config
    options = yaml.safe_load(text)
    assert options["num_bits"] == 8
    assert options["shift_ffn"] is True
    assert options["encoder_ffn_types"] == ["mlp"] * 6
    assert options["decoder_ffn_types"] == ["shift"] * 5


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_every_arch_survives_its_file(seed: int) -> None:
    space = searched()
    arch = space.sample(np.random.default_rng(seed))
    assert space.read_notation(write_arch_yaml(space.config(arch))) == arch


@cache
def searched() -> TranslationSpace:
    """A space with options of everything that a file can say."""
    ffn = "[any,any,shift,linear,any,any]"
    space: TranslationSpace = built(
        "space", "space=transformer_v1", f"space.encoder.ffn={ffn}", f"space.decoder.ffn={ffn}", "space.num_bits=[8,32]"
    )
    return space


def test_released_defaults_of_shift_layers_and_of_no_bits() -> None:
    config = read_arch_yaml(RELEASED_FILE + "shift_ffn: true\nnum_bits: -1\n")
    assert config is not None
    assert [layer.ffn for layer in config.encoder] == ["linear", "shift", "shift", "shift", "shift", "linear"]
    assert [layer.ffn for layer in config.decoder] == ["linear", "shift"]
    assert config.num_bits == 32


def test_what_a_file_leaves_open_is_what_the_space_fixes() -> None:
    ffn = "[linear,shift,shift,shift,shift,linear]"
    space: TranslationSpace = built("space", "space=transformer_v3", f"space.encoder.ffn={ffn}", "space.num_bits=[8]")
    config = space.config(find_arch("wmt_en_de/v3_350ms_jul13", space))
    assert config.num_bits == 8
    assert [layer.ffn for layer in config.encoder] == ["linear", "shift", "shift", "shift", "shift", "linear"]
    assert {layer.ffn for layer in config.decoder} == {"linear"}


@pytest.mark.parametrize("text", ["", "512", "[1],[2]", "a: 1", "{", "wmt_en_de/none"])
def test_other_texts_are_in_no_such_notation(text: str) -> None:
    assert read_arch_yaml(text) is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("decoder-layer-num-subtransformer: 2", "", "lacks decoder-layer-num-subtransformer"),
        ("decoder-layer-num-subtransformer: 2", "decoder-layer-num-subtransformer: two", "'two' is no whole number"),
        ("[4096, 4096]", "[4096]", r"decoder-ffn-embed-dim-all-subtransformer: \[4096\] is no list of .* 2 layers"),
        ("[4096, 4096]", "[4096, big]", "holds 'big', which is no whole number"),
        ("[2, 2, 2, -1, 1, 2]", "[2, 3]", "holds 3; allowed are -1, 1, 2"),
        ("['self_attention']", "['attention']", "holds 'attention'; allowed are lightweight_conv, "),
    ],
)
def test_faults_of_a_file_are_named(old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_arch_yaml(RELEASED_FILE.replace(old, new))


def test_a_network_beyond_the_space_is_refused(en_fr: TranslationSpace) -> None:
    with pytest.raises(UserError, match="arch=wmt_en_de/v3_150ms_update: decoder_0_ffn_dim=4096 is not in space"):
        find_arch("wmt_en_de/v3_150ms_update", en_fr)
    deep = replace(JUL13, encoder=(EncoderLayerConfig("self_attention", 8, 1024),) * 7)
    with pytest.raises(UserError, match="7 layers where the space has at most 6"):
        en_fr.read_notation(write_arch_yaml(deep))

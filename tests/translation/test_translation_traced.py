"""What the space prices is what the networks compute: layers from shapes against layers traced through the models."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch

from composed import built
from shiftaddnas.hardware import Layer
from shiftaddnas.tracing import trace_layers
from tasks.translation import TranslationSpace, TranslationWorkload

pytest.importorskip("fairseq")

from tasks.translation.fairseq_adapter import Dictionary
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.standalone import standalone_network

SOURCE, TARGET = 7, 9


@pytest.fixture(scope="module")
def dictionary() -> Dictionary:
    dictionary = Dictionary()
    for number in range(20):
        dictionary.add_symbol(f"word{number}")
    return dictionary


@pytest.mark.parametrize("seed", range(12))
def test_one_pass_and_its_parameters(seed: int, dictionary: Dictionary) -> None:
    ffn = "[any,any,any]"
    space: TranslationSpace = built(
        "space", "space=gettext", f"space.encoder.ffn={ffn}", f"space.decoder.ffn={ffn}", "space.lowering=forward"
    )
    arch = space.sample(np.random.default_rng(seed))
    layers = space.arch_layers(arch, TranslationWorkload(SOURCE, TARGET, 1, len(dictionary)))
    network = standalone_network(space, dictionary, arch, TransformerSettings()).eval()
    source, previous = torch.full((1, SOURCE), 5), torch.full((1, TARGET), 6)
    trace = trace_layers(network, source, torch.tensor([SOURCE]), previous)
    assert shapes(layers) == shapes(trace.layers)
    assert sum(layer.num_params for layer in layers) == sum(tensor.numel() for tensor in network.parameters())


def shapes(layers: Iterable[Layer]) -> Counter[Any]:
    """How often there is each computation; a repeated one counts as often as it is done."""
    counts: Counter[Any] = Counter()
    for layer in layers:
        # Not H: some operators over time pad their input themselves.
        shape = layer.N, layer.C, layer.M, layer.E, layer.F, layer.R, layer.S, layer.groups
        counts[layer.op, layer.arithmetic, shape] += layer.repeat
    return counts

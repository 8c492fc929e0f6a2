"""How fast a super-transformer trains, beside fairseq's own transformer with as many active parameters.

`python benchmarks/translation.py [setting=value ...]` prints Markdown. Both networks train on the same batches of real
text in turns, in one process and one thread, timed by processor time. Settings are those of search.py: `sharing=...`;
text other than the gettext catalogues: `task=parallel_text task.data.source.train=[pairs.tsv]`, with what that needs.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]  # configs as objects

from composed import built  # noqa: E402
from shiftaddnas.latency import this_machine  # noqa: E402
from shiftaddnas.spaces import Arch  # noqa: E402
from tasks.translation import Translation, TranslationSpace  # noqa: E402
from tasks.translation.config import TransformerConfig  # noqa: E402
from tasks.translation.fairseq_adapter import (  # noqa: E402
    Dictionary,
    LabelSmoothedCrossEntropyCriterion,
    TransformerModelBase,
    transformer_config,
)
from tasks.translation.modules.settings import TransformerSettings  # noqa: E402
from tasks.translation.supernet import TranslationSupernet  # noqa: E402

NUM_BATCHES = 8  # of an accumulated step
NUM_TURNS = 3
NUM_ARCHS = 7
MAX_NORM = 1.0
SPACES = {
    "gettext": (),
    "twice as wide, four layers a side": (
        *(f"space.shape.{side}_embed_dim=256" for side in ("encoder", "decoder")),
        *(f"space.shape.{side}_ffn_dim=1024" for side in ("encoder", "decoder")),
        *(f"space.shape.{side}_layers=4" for side in ("encoder", "decoder")),
        *(f"space.{side}.embed_dims=[256,192]" for side in ("encoder", "decoder")),
        *(f"space.{side}.ffn_dims=[1024,512]" for side in ("encoder", "decoder")),
        *("space.shape.qkv_dim=256", "space.shape.kernel_sizes=[3,7,15,31]"),
        *("space.encoder.num_layers=[4]", "space.decoder.num_layers=[4,3,2,1]"),
    ),
}
Batch = dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """A network with what trains it.

    Attributes:
        loss: of a batch, the sum over its target tokens.
    """

    network: nn.Module
    loss: Callable[[Batch], Tensor]
    optimizer: torch.optim.Optimizer

    def backward(self, batch: Batch) -> None:
        torch.autograd.backward(self.loss(batch))

    def clear(self) -> None:
        self.optimizer.zero_grad()

    def update(self, num_tokens: int) -> None:
        """Adam on the mean gradient over all target tokens, its norm clipped."""
        used = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        for parameter in used:
            assert parameter.grad is not None
            parameter.grad.mul_(1 / num_tokens)
        nn.utils.clip_grad_norm_(used, MAX_NORM)
        self.optimizer.step()
        self.clear()


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.9, 0.98))


def ours(task: Translation, supernet: TranslationSupernet, arch: Arch) -> Trained:
    def loss(batch: Batch) -> Tensor:
        output = task.step(supernet, batch, arch)
        return (output.loss + supernet.regularizer(arch)) * output.size

    return Trained(supernet, loss, adam(supernet))


def fairseqs(task: Translation, space: TranslationSpace, arch: Arch) -> Trained:
    """As deep as the arch, as wide as its decoder, with feed-forward networks such that as many parameters are used."""
    dictionary = task.data.target_dictionary
    config, wanted = space.config(arch), num_active(task, space, arch)
    one, two = (num_parameters(fairseq_transformer(config, width, dictionary, task.transformer)) for width in (1, 2))
    width = max(1, 1 + round((wanted - one) / (two - one)))
    network = fairseq_transformer(config, width, dictionary, task.transformer).train()
    criterion = LabelSmoothedCrossEntropyCriterion(_Vocabulary(dictionary), False, task.label_smoothing)

    def loss(batch: Batch) -> Tensor:
        total, _, _ = criterion(network, batch)
        found: Tensor = total
        return found

    return Trained(network, loss, adam(network))


@dataclass(frozen=True)
class _Vocabulary:
    """What fairseq's criterion asks of one of its tasks."""

    target_dictionary: Dictionary


def fairseq_transformer(
    arch: TransformerConfig, ffn_dim: int, dictionary: Dictionary, settings: TransformerSettings
) -> nn.Module:
    width = arch.decoder_embed_dim
    config = transformer_config()
    config.share_decoder_input_output_embed = True
    config.dropout, config.attention_dropout = settings.dropout, settings.attention_dropout
    for side, layers in ((config.encoder, arch.encoder), (config.decoder, arch.decoder)):
        side.embed_dim, side.ffn_embed_dim, side.layers = width, ffn_dim, len(layers)
        side.attention_heads = max(layer.heads for layer in layers)
    config.decoder.input_dim = config.decoder.output_dim = width
    table = TransformerModelBase.build_embedding(config, dictionary, width)
    encoder = TransformerModelBase.build_encoder(config, dictionary, table)
    network: nn.Module = TransformerModelBase(
        config, encoder, TransformerModelBase.build_decoder(config, dictionary, table)
    )
    return network


def num_parameters(network: nn.Module) -> int:
    """Without the embedding."""
    return sum(
        parameter.numel() for name, parameter in network.named_parameters() if "embed" not in name.split(".", 1)[1]
    )


def num_active(task: Translation, space: TranslationSpace, arch: Arch) -> int:
    with torch.device("meta"):
        return num_parameters(task.standalone(space, arch))


def seconds(call: Callable[[], None]) -> float:
    begin = time.thread_time()
    call()
    return time.thread_time() - begin


def whole_step(trained: Trained, batches: Sequence[Batch]) -> None:
    for batch in batches:
        trained.backward(batch)
    trained.update(sum(int(batch["ntokens"]) for batch in batches))


@dataclass(frozen=True)
class Speed:
    """Median milliseconds: of forward and backward for one batch, and of a whole step."""

    pass_ms: float
    step_ms: float


def speeds(pair: Sequence[Trained], batches: Sequence[Batch]) -> list[Speed]:
    """Both in turns, after each has made a step."""
    for trained in pair:
        whole_step(trained, batches)
    passes: list[list[float]] = [[] for _ in pair]
    steps: list[list[float]] = [[] for _ in pair]
    for _ in range(NUM_TURNS):
        for batch in batches:
            for trained, times in zip(pair, passes, strict=True):
                times.append(seconds(lambda: trained.backward(batch)))  # noqa: B023
                trained.clear()
        for trained, times in zip(pair, steps, strict=True):
            times.append(seconds(lambda: whole_step(trained, batches)))  # noqa: B023
    # Batches are of different shapes, but each is as often in either list.
    return [
        Speed(1e3 * statistics.median(one), 1e3 * statistics.median(other))
        for one, other in zip(passes, steps, strict=True)
    ]


def archs_of(space: TranslationSpace) -> Iterator[tuple[str, Arch]]:
    """All attention at full width, cross attention to one layer as fairseq has it; then random ones."""
    rng = np.random.default_rng(0)
    archs = [space.sample(rng, "decisions") for _ in range(NUM_ARCHS)]
    yield "all attention", all_attention(space, archs[0])
    for number, arch in enumerate(archs):
        yield f"random {number + 1}", arch


def all_attention(space: TranslationSpace, like: Arch) -> Arch:
    shape, config = space.shape, space.config(like)
    encoder = [replace(config.encoder[0], operator="self_attention", heads=shape.encoder_heads)] * shape.encoder_layers
    decoder = [replace(config.decoder[0], operator="self_attention", heads=shape.decoder_heads)] * shape.decoder_layers
    return space.arch_of(
        replace(
            config,
            encoder_embed_dim=shape.encoder_embed_dim,
            decoder_embed_dim=shape.decoder_embed_dim,
            encoder=tuple(replace(layer, ffn_dim=shape.encoder_ffn_dim) for layer in encoder),
            decoder=tuple(
                replace(layer, ffn_dim=shape.decoder_ffn_dim, cross_heads=shape.decoder_heads, cross_span=-1)
                for layer in decoder
            ),
        )
    )


def report(overrides: Sequence[str]) -> Iterator[str]:
    if not any(override.startswith("task=") for override in overrides):
        overrides = ["task=gettext_en_de", *overrides]
    torch.set_num_threads(1)
    machine = ", ".join(f"{name}: {value}" for name, value in this_machine("cpu", 1).items())
    yield f"{datetime.now(UTC):%Y-%m-%d}, {machine}, load {os.getloadavg()[0]:.1f}."
    task: Translation = built("task", *overrides)
    task.data.setup("fit")
    batches: list[Batch] = list(islice(task.data.train_dataloader(), NUM_BATCHES))
    tokens = statistics.median(int(batch["ntokens"]) for batch in batches)
    sharing = built("sharing", *overrides)
    yield (
        f"sharing={sharing.name}, text of {task.name}, {task.data.num_symbols} symbols, batches of {tokens:.0f} target "
        "tokens (median)."
    )
    for title, changes in SPACES.items():
        space: TranslationSpace = built("space", *overrides, "space=gettext", *changes)
        torch.manual_seed(0)
        supernet = task.supernet(space, sharing).train()
        total = sum(parameter.numel() for parameter in supernet.parameters())
        yield f"\nSpace {title}, super-transformer of {total / 1e6:.1f} M parameters\n"
        yield "| arch | parameters | pass, ms | fairseq's | speed | step, ms | fairseq's | speed |"
        yield "|---|" + "--:|" * 7
        ratios = []
        for name, arch in archs_of(space):
            own, their = speeds([ours(task, supernet, arch), fairseqs(task, space, arch)], batches)
            ratio = their.pass_ms / own.pass_ms, their.step_ms / own.step_ms
            ratios.append(ratio)
            yield (
                f"| {name} | {num_active(task, space, arch) / 1e6:.2f} M | {own.pass_ms:.0f} | {their.pass_ms:.0f} | "
                f"{ratio[0]:.2f} | {own.step_ms:.0f} | {their.step_ms:.0f} | {ratio[1]:.2f} |"
            )
        of_pass, of_step = (statistics.median(column) for column in zip(*ratios[1:], strict=True))
        yield f"| random, median | | | | {of_pass:.2f} | | | {of_step:.2f} |"


if __name__ == "__main__":
    for line in report(sys.argv[1:]):
        print(line, flush=True)

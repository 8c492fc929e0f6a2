"""Translation as a task: the loss of target tokens, hybrid transformers, BLEU."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torchmetrics import MetricCollection

from shiftaddnas.engine import Output, Task
from shiftaddnas.errors import UserError
from shiftaddnas.sharing import WeightSharing
from shiftaddnas.spaces import Arch, Space
from tasks.translation.data import TranslationData
from tasks.translation.data.binarized import Binarized
from tasks.translation.fairseq_adapter import Dictionary
from tasks.translation.generation import Decoding, generate, source_batches
from tasks.translation.inference import translation_run
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.objective import released_objective
from tasks.translation.scoring import check_language, text_bleu, tokenized_bleu
from tasks.translation.space import TranslationSpace
from tasks.translation.standalone import Initialization, standalone_network
from tasks.translation.supernet import TranslationSupernet
from tasks.translation.terms import TranslationWorkload
from tasks.translation.token_loss import smoothed_loss, token_metrics

UNKNOWN_FOUND, UNKNOWN_WANTED = "‽", "⁇"
"""Unknown words of a translation and of a reference: no tokeniser splits the signs, and they match nothing."""

log = logging.getLogger("shiftaddnas.translation")


class Translation(Task):
    """Translate sentences.

    The score is the label-smoothed loss of the validation part in bits a token, as the search of ShiftAddNAS (ICML
    2022) has it; finished networks are scored by BLEU as well.

    Args:
        name: how tables and run folders call the task.
        data: the text; both languages need the same dictionary, whose embeddings source, target and output share.
        label_smoothing: share of a target's weight that is spread over all symbols, wherever the loss is taken.
        transformer: dropout and what else no arch decides.
        init: the weights that a network on its own starts with, see `standalone_network`.
        decoding: how the test part is translated.
        source_length, target_length: tokens of the sentence that networks are priced for; 30 in the paper, for WMT.
    """

    metric = "loss_bits"
    unit = "bits"
    maximize = False
    other_scores = ("released_objective",)
    final_metrics = ("bleu", "bleu_tokenized")
    no_export = (
        "what is exported is one computation of fixed sizes, but a translation takes steps until it ends; use "
        "shiftaddnas translate, or fairseq's tools after python -m tasks.translation.fairseq_plugin.convert"
    )

    def __init__(
        self,
        name: str,
        data: TranslationData,
        *,
        label_smoothing: float = 0.1,
        transformer: TransformerSettings | None = None,
        init: Initialization = "own",
        decoding: Decoding | None = None,
        source_length: int = 30,
        target_length: int = 30,
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise UserError(f"task.label_smoothing={label_smoothing}; allowed are shares from 0, below 1")
        self.name = name
        self.data = data
        self.label_smoothing = label_smoothing
        self.transformer = transformer or TransformerSettings()
        self.init: Initialization = init
        self.decoding = decoding or Decoding()
        self.source_length = source_length
        self.target_length = target_length

    def datamodule(self) -> TranslationData:
        return self.data

    def workload(self) -> TranslationWorkload:
        return TranslationWorkload(
            self.source_length, self.target_length, self.decoding.beam, vocab_size=self.data.num_symbols
        )

    def check_space(self, space: Space[Any, Any]) -> None:
        self._own(space)
        check_language(self.data.binarized.target_lang)

    def free_settings(self) -> tuple[str, ...]:
        """Name, recipe, pricing and decoding, batches, and where text lies: what text there is, `symbols` tell."""
        own = ("name", "label_smoothing", "init", "decoding", "source_length", "target_length")
        dropout = ("dropout", "attention_dropout", "weight_dropout")
        data = ("max_tokens", "eval_max_tokens", "seed", "max_too_long", "num_workers")
        source = ("root", "output", "subword_file", "preparation.subword_file")
        return (
            "space.name",
            "space.lowering",
            *(f"task.{name}" for name in own),
            *(f"task.transformer.{name}" for name in dropout),
            *(f"task.data.{name}" for name in data),
            *(f"task.data.source.{name}" for name in source),
        )

    def symbols(self) -> dict[str, Any]:
        """Languages, dictionaries and subwords."""
        return self.data.binarized.symbols()

    def use_symbols(self, kept: Mapping[str, Any]) -> None:
        if kept:
            self.data.binarized = Binarized.of_symbols(kept)

    def supernet(self, space: Space[Any, Any], sharing: WeightSharing) -> TranslationSupernet:
        return TranslationSupernet(self._own(space), self._dictionary(), sharing, self.transformer)

    def standalone(self, space: Space[Any, Any], arch: Arch) -> nn.Module:
        return standalone_network(self._own(space), self._dictionary(), arch, self.transformer, init=self.init)

    def _own(self, space: Space[Any, Any]) -> TranslationSpace:
        if not isinstance(space, TranslationSpace):
            raise UserError(f"space={space.name} is not a space of transformers; give task={self.name} one of those")
        return space

    def _dictionary(self) -> Dictionary:
        if not self.data.joined_dictionary:
            raise UserError(
                f"task={self.name}: the two languages have dictionaries of their own, but hybrid transformers share "
                "one embedding; binarise the text with a joined dictionary"
            )
        return self.data.target_dictionary

    def step(self, model: nn.Module, batch: dict[str, Any], arch: Arch | None = None) -> Output:
        inputs, targets, padding = batch["net_input"], self.targets(batch), self.data.target_dictionary.pad()
        logits = model(**inputs)[0] if arch is None else model(inputs, arch)
        num_tokens = int(batch["ntokens"])
        loss = smoothed_loss(logits, targets, padding=padding, smoothing=self.label_smoothing) / num_tokens
        return Output(loss, logits, num_samples=num_tokens, valid=targets != padding)

    def metrics(self) -> MetricCollection:
        return token_metrics(self.data.target_dictionary.pad(), self.label_smoothing)

    def targets(self, batch: dict[str, Any]) -> Tensor:
        targets: Tensor = batch["target"]
        return targets

    def other_score(self, name: str, space: Space[Any, Any], arch: Arch, metrics: Mapping[str, float]) -> float:
        """The released search's objective, of which less is better; see objective.py."""
        own = self._own(space)
        return released_objective(metrics[self.metric], own.config(arch), own.shape)

    def inference(self, example: nn.Module, batch_size: int, device: str) -> Callable[[nn.Module], Any]:
        """The translation of so many sentences of the workload's lengths, see `translation_run`."""
        return translation_run(self.workload(), batch_size, self._dictionary(), device)

    def final_scores(self, network: nn.Module, num_batches: int) -> dict[str, float]:
        """BLEU of the test part: "bleu" of plain text and, where words are tokenised, "bleu_tokenized"."""
        if not num_batches:
            return {}
        self.data.setup("test")
        batches = _progress(islice(self.data.test_dataloader(), num_batches), num_batches, "translating")
        references: dict[int, str] = {}

        def with_references() -> Iterator[dict[str, Any]]:
            for batch in batches:
                for number, target in zip(batch["id"].tolist(), self.targets(batch), strict=True):
                    references[number] = self._symbols(target, UNKNOWN_WANTED)
                yield batch

        found = dict(generate(network, self.data.target_dictionary, with_references(), self.decoding))
        numbers = sorted(found)
        translations = [self._symbols(found[one], UNKNOWN_FOUND) for one in numbers]
        return self._bleu(translations, [references[one] for one in numbers])

    def _bleu(self, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        binarized = self.data.binarized
        codec, language = binarized.codec, binarized.target_lang
        texts, expected = ([codec.decode(one, language) for one in side] for side in (hypotheses, references))
        scores = {"bleu": text_bleu(texts, expected, language)}
        if codec.moses:
            words, wanted = ([codec.subwords.decode(one) for one in side] for side in (hypotheses, references))
            scores["bleu_tokenized"] = tokenized_bleu(words, wanted)
        for name, bleu in scores.items():
            log.info("%s %.2f (%s, %d sentences)", name, bleu.score, bleu.signature, len(texts))
        return {name: bleu.score for name, bleu in scores.items()}

    def _symbols(self, tokens: Tensor, unknown: str) -> str:
        """Symbols separated by spaces."""
        dictionary = self.data.target_dictionary
        return str(dictionary.string(tokens[tokens != dictionary.pad()], unk_string=unknown))

    def translate(self, network: nn.Module, lines: Sequence[str], *, first_line: int = 1) -> list[str]:
        binarized, limit = self.data.binarized, self.data.max_source_length
        sources: dict[int, Tensor] = {}
        for number, line in enumerate(lines):
            tokens = binarized.tokens(line)
            if len(tokens) == 1:  # the end: there is no text in the line
                continue
            sources[number] = tokens
            if len(tokens) > limit:
                raise UserError(
                    f"line {first_line + number} ({line[:40]!r}...) has {len(tokens)} symbols; at most {limit} are "
                    "translated: split it into sentences"
                )
        batches = source_batches(list(sources.values()), self.data.source_dictionary, self.decoding.max_tokens)
        found = dict(generate(network, self.data.target_dictionary, batches, self.decoding)) if sources else {}
        translations = {number: found[place] for place, number in enumerate(sources)}
        return [
            binarized.text(translations[number], binarized.target_lang) if number in translations else ""
            for number in range(len(lines))
        ]


def _progress(batches: Iterable[Any], total: int, description: str) -> Iterable[Any]:
    console = Console(stderr=True)
    return track(batches, description, total=total, console=console, transient=True, disable=not console.is_terminal)

"""From parallel text to a folder that fairseq reads, as `fairseq-preprocess` would make it, in stages.

The folder is named by a hash of all that decides what is in it. Its stages are `text` (normalised and tokenised words
of each part), `subwords`, `symbols` (the text in subwords) and `binarized`. Each is made once, whole or not at all; the
first and third may be deleted then.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from rich.console import Console
from rich.progress import track

from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically
from tasks.translation.data.codec import Codec, SubwordMethod, learn, subwords
from tasks.translation.data.stages import locked, stage
from tasks.translation.data.text import Filter, Pair
from tasks.translation.fairseq_adapter import BinarizeSummary, Dictionary, VocabularyDatasetBinarizer, indexed_dataset

T = TypeVar("T")
Words = Callable[[str, str], str]
PARTS = ("train", "valid", "test")
VERSION = 1
"""Of what preparation does; another one makes all folders anew."""


@dataclass(frozen=True)
class Preparation:
    """How text becomes symbols. One dictionary and one set of subwords serve both languages.

    Attributes:
        subwords: how words are split; "none" leaves them as they are.
        num_subwords: pieces of the SentencePiece model, or merges of subword-nmt.
        tokenizer: "moses" normalises punctuation and splits words as Moses does (with -a); "none" leaves the text.
        already_applied: whether the text is tokenised and split already; it is taken as it is, and `subwords` and
            `tokenizer` say how text is made of it again.
        subword_file: the merges or the model that were already applied, to translate other text; None: not at hand.
        max_symbols: of the dictionary, the four special ones among them; the rarest are left out. None: all.
        max_words: of either side of a training pair; None: any.
        max_ratio: of the longer side's words to the shorter side's in a training pair; None: any.
        max_dropped: the greatest share of the pairs that may be left out, as empty or by the two limits.

    Raises:
        UserError: a number is out of its range, or settings contradict each other.
    """

    subwords: SubwordMethod = "sentencepiece"
    num_subwords: int = 8000
    tokenizer: Literal["moses", "none"] = "none"
    already_applied: bool = False
    subword_file: Path | None = None
    max_symbols: int | None = None
    max_words: int | None = 250
    max_ratio: float | None = None
    max_dropped: float = 0.05

    def __post_init__(self) -> None:
        for name, least in (("num_subwords", 1), ("max_symbols", 5), ("max_words", 1), ("max_ratio", 1)):
            number = getattr(self, name)
            if number is not None and number < least:
                raise UserError(f"task.data.source.preparation.{name}={number}; give a number of at least {least}")
        if not 0 <= self.max_dropped <= 1:
            raise UserError(f"task.data.source.preparation.max_dropped={self.max_dropped}; allowed are shares, 0 to 1")
        if self.subword_file is not None and not self.already_applied:
            raise UserError(
                f"task.data.source.preparation.subword_file={self.subword_file} is for text to which it was applied: "
                "set already_applied=true, or leave it out and have subwords learnt"
            )

    def filter(self, name: str) -> Filter:
        """What leaves out pairs to learn from; the name is the text's, for messages."""
        return Filter(self.max_words, self.max_ratio, self.max_dropped, name)

    def codec(self, learnt: Path) -> Codec:
        file = self.subword_file if self.already_applied else learnt
        return Codec(subwords(self.subwords, file), moses=self.tokenizer == "moses")


@dataclass(frozen=True)
class Corpus:
    """Text to prepare.

    Attributes:
        name: begins the folder's name.
        identity: all that decides which pairs there are, as JSON can say it.
        pairs: the pairs, each with the part it belongs to; given what tokenises a text of a language.
    """

    name: str
    source_lang: str
    target_lang: str
    identity: Any
    pairs: Callable[[Words], Iterator[tuple[str, Pair]]]

    @property
    def languages(self) -> tuple[str, str]:
        return self.source_lang, self.target_lang


def prepare(corpus: Corpus, preparation: Preparation, output: Path | None) -> tuple[Path, Codec]:
    """The folder with binarised text, and the codec of its symbols; made first, where it is not there yet.

    Args:
        output: below which folders are made; None: the user's cache.

    Raises:
        UserError: the text is not as it should be, or the folder cannot be made.
    """
    settings = {
        "version": VERSION,
        "languages": corpus.languages,
        "corpus": corpus.identity,
        "preparation": asdict(preparation),
    }
    text = json.dumps(settings, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n"
    folder = (output or _cache()) / f"{corpus.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    codec = preparation.codec(folder / "subwords" / "model")
    binarized = folder / "binarized"
    if not binarized.is_dir():
        with locked(folder):
            if not binarized.is_dir():  # while this process waited
                write_atomically(folder / "settings.json", text)
                Stages(folder, corpus, preparation, codec).run()
    return binarized, codec


class Stages:
    """The work on one folder; the caller holds its lock."""

    def __init__(self, folder: Path, corpus: Corpus, preparation: Preparation, codec: Codec) -> None:
        self._folder = folder
        self._corpus = corpus
        self._preparation = preparation
        self._codec = codec

    def run(self) -> None:
        stage(self._folder / "text", self._write_text)
        stage(self._folder / "subwords", self._learn_subwords)
        for part in PARTS:
            stage(self._folder / f"symbols-{part}", partial(self._write_symbols, part))
        stage(self._folder / "binarized", self._binarize)

    def _write_text(self, output: Path) -> None:
        files = {
            (part, language): (output / f"{part}.{language}").open("w", encoding="utf-8")
            for part in PARTS
            for language in self._corpus.languages
        }
        words: Words = _as_it_is if self._preparation.already_applied else self._codec.words
        try:
            for part, pair in _progress(self._corpus.pairs(words), None, "reading text"):
                for language, text in zip(self._corpus.languages, pair, strict=True):
                    files[part, language].write(f"{text}\n")
        finally:
            for file in files.values():
                file.close()

    def _learn_subwords(self, output: Path) -> None:
        if self._preparation.already_applied:
            return
        text = (
            line for language in self._corpus.languages for line in _lines(self._folder / "text" / f"train.{language}")
        )
        learn(
            self._preparation.subwords,
            _progress(text, None, "learning subwords"),
            self._preparation.num_subwords,
            output / "model",
        )

    def _write_symbols(self, part: str, output: Path) -> None:
        encode = _same if self._preparation.already_applied else self._codec.subwords.encode
        for language in self._corpus.languages:
            text = self._folder / "text" / f"{part}.{language}"
            with (output / language).open("w", encoding="utf-8") as file:
                for line in _progress(_lines(text), _num_lines(text), f"subwords, {part}.{language}"):
                    file.write(f"{encode(line)}\n")

    def _binarize(self, output: Path) -> None:
        dictionary = self._dictionary()
        binarizer = VocabularyDatasetBinarizer(dictionary, append_eos=True)
        for language in self._corpus.languages:
            with (output / f"dict.{language}.txt").open("w", encoding="utf-8") as file:
                dictionary.save(file)
            for part in PARTS:
                symbols = self._folder / f"symbols-{part}" / language
                prefix = str(output / f"{part}.{'-'.join(self._corpus.languages)}.{language}")
                builder = indexed_dataset.make_builder(f"{prefix}.bin", impl="mmap", vocab_size=len(dictionary))
                for line in _progress(_lines(symbols), _num_lines(symbols), f"ids, {part}.{language}"):
                    builder.add_item(binarizer.binarize_line(line, BinarizeSummary()))
                builder.finalize(f"{prefix}.idx")

    def _dictionary(self) -> Dictionary:
        # What subwords can make of other text is known too, although the training text lacks it.
        known = () if self._preparation.already_applied else self._codec.subwords.symbols()
        counts = Counter(dict.fromkeys(known, 0))
        for language in self._corpus.languages:
            for line in _lines(self._folder / "symbols-train" / language):
                counts.update(line.split())
        dictionary = Dictionary()
        for symbol, count in sorted(counts.items()):
            dictionary.add_symbol(symbol, count)
        dictionary.finalize(nwords=self._preparation.max_symbols or -1, padding_factor=8)
        return dictionary


def _as_it_is(text: str, language: str) -> str:
    return text


def _same(text: str) -> str:
    return text


def _lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield line.removesuffix("\n")


def _num_lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


def _progress(items: Iterable[T], total: int | None, description: str) -> Iterable[T]:
    console = Console(stderr=True)
    return track(items, description, total=total, console=console, transient=True, disable=not console.is_terminal)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "shiftaddnas" / "translation"
